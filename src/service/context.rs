//! `Context`: the name, the stop token, the clock and the host of a service.

use super::ticks::Ticks;
use crate::clock::Clock;
use crate::diagnose::Waits;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::registry::DeadlineWatch;
use crate::registry::{DeadlineKind, HostHandle, MemberSlot, Registry, ServiceId, Watch};
use crate::report::{BoxError, EventKind, Result, drop_error, error_chain_text};
use crate::stop::{RecvError, RepeatingStopCallback, StopCallback, StopSource, StopToken, Stopped};
use crate::util::sync::Arc;
use crate::util::text::callback_thread_name;
use crossbeam_channel::Receiver;
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

/// The name, the stop token, the clock and the host of a [`Service`](crate::Service).
///
/// A context is cheap to clone, and you can move clones to helper threads. The host requests no stop of a service that has
/// already completed or failed. If a helper thread may outlive its service, let it wait on
/// [`ctx.host().stopping()`](crate::HostHandle::stopping). A unit test creates a context without a host:
///
/// ```
/// use hosted::{Context, Result, StopSource};
///
/// fn count_until_stopped(ctx: &Context) -> Result<u32> {
///     let mut n = 0;
///     while !ctx.stop_requested() {
///         n += 1;
///         if n == 3 { ctx.host().request_stop() }
///         if ctx.host().stopping().stop_requested() { break }
///     }
///     Ok(n)
/// }
///
/// let stop = StopSource::new();
/// assert_eq!(count_until_stopped(&Context::new("counter", stop.token())).unwrap(), 3);
/// ```
#[derive(Clone)]
pub struct Context {
    token: StopToken,
    shared: Arc<ContextInner>,
}

#[derive(Clone)]
struct ContextInner {
    name: Arc<str>,
    clock: Clock,
    host: HostHandle,
    /// The id of the service in its host. `None` without a host.
    id: Option<ServiceId>,
    /// If the service is watched for stalls.
    watch: Option<Arc<Watch>>,
    /// If the service is a member of a dynamic group: keeps the id valid after the member has ended.
    member: Option<Arc<MemberSlot>>,
}

impl Context {
    /// Creates a context without a host, for unit tests.
    ///
    /// Its [`host`](Self::host) has no services. `request_stop` on that host stops its token `stopping()`, so that a test can
    /// observe the request. [`report_error`](Self::report_error) logs. [`wait_until_started`](Self::wait_until_started) returns
    /// at once.
    pub fn new(name: impl Into<Arc<str>>, token: StopToken) -> Self {
        let (clock, host) = (Clock::system(), HostHandle::detached());
        let shared = ContextInner { name: name.into(), clock, host, id: None, watch: None, member: None };
        Context { token, shared: Arc::new(shared) }
    }

    pub(crate) fn for_service(name: Arc<str>, token: StopToken, clock: Clock, host: HostHandle, id: ServiceId) -> Self {
        let watch = host.registry().stall_watch(id);
        Context { token, shared: Arc::new(ContextInner { name, clock, host, id: Some(id), watch, member: None }) }
    }

    /// Creates the context of a member of a dynamic group, which is shown as `name`.
    pub(crate) fn for_member(name: Arc<str>, clock: Clock, member: Arc<MemberSlot>) -> Self {
        let (host, id) = (HostHandle::new(member.registry().clone()), Some(member.id()));
        let (token, watch) = (member.source.token(), host.registry().stall_watch(member.id()));
        Context { token, shared: Arc::new(ContextInner { name, clock, host, id, watch, member: Some(member) }) }
    }

    /// Records in the registry when the calling thread, which is that of this service, exits. See
    /// [`HostHandle::record_thread_end`].
    pub(crate) fn record_thread_end(&self) {
        if let Some(id) = self.shared.id {
            self.shared.host.record_thread_end(id, self.shared.member.clone());
        }
    }

    /// Returns the same context with another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        let shared = ContextInner { clock, ..(*self.shared).clone() };
        Context { shared: Arc::new(shared), ..self }
    }

    /// Returns the same context with another stop token. Use it to give a job of this service its own reason to stop, such as a
    /// time limit.
    ///
    /// Everything that waits for the stop, or checks for it, uses `token`: [`check`](Self::check), [`sleep`](Self::sleep),
    /// [`ticks`](Self::ticks), [`on_stop`](Self::on_stop) and so on. Everything else stays that of the service: the name, the
    /// clock, the [host](Self::host), the [stop deadline](Self::stop_deadline), and the reported errors. The host does not know
    /// `token`, so link it to the token of the service if a stop request must end the job.
    ///
    /// ```
    /// use hosted::{Context, StopSource, Stopped};
    /// use std::time::Duration;
    ///
    /// let ctx = Context::new("poller", StopSource::new().token());
    /// let limit = StopSource::linked([ctx.stop_token()]); // stops at the stop of the service, or after 20 ms
    /// limit.request_stop_after(Duration::from_millis(20));
    /// let job = ctx.with_token(limit.token());
    /// assert_eq!(job.sleep(Duration::MAX), Err(Stopped));
    /// assert!(!ctx.stop_requested());
    /// ```
    #[doc(alias = "WithCancel")]
    pub fn with_token(&self, token: StopToken) -> Self {
        Context { token, shared: self.shared.clone() }
    }

    /// Returns the name of the service. In a group the name is `group/child`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the clock that the sleeps and ticks of this context use.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Returns the token that stops when the stop of this service is requested. .NET: the `stoppingToken`.
    #[doc(alias = "stoppingToken")]
    pub fn stop_token(&self) -> &StopToken {
        &self.token
    }

    /// Returns `true` if the stop of this service was requested. The call costs one atomic load.
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.token.stop_requested()
    }

    /// Returns `Ok` until the stop of this service is requested. Use it with `?` in a loop that never waits.
    ///
    /// # Errors
    ///
    /// [`Stopped`] after the stop request.
    pub fn check(&self) -> Result<(), Stopped> {
        self.token.check()
    }

    /// Blocks until the stop of this service is requested.
    pub fn wait(&self) {
        self.token.wait();
    }

    /// Sleeps for `time`, by the clock of this context. `Duration::MAX` means forever.
    ///
    /// # Errors
    ///
    /// [`Stopped`], as soon as the stop of this service is requested.
    #[doc(alias("Task.Delay", "delay"))]
    pub fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.sleep_as(time, Waits::Sleep)
    }

    /// Sleeps like [`sleep`](Self::sleep). Diagnostics show the sleep as `waits`.
    pub(crate) fn sleep_as(&self, time: Duration, waits: Waits) -> Result<(), Stopped> {
        self.shared.clock.sleep(time, &self.token, waits)
    }

    /// Sleeps for `part` of a wait that takes `whole`. Diagnostics show the whole wait as `waits`.
    #[cfg(feature = "cron")]
    pub(crate) fn sleep_part(&self, part: Duration, whole: Duration, waits: Waits) -> Result<(), Stopped> {
        self.shared.clock.sleep_part(part, whole, &self.token, waits)
    }

    /// Sleeps until `instant`, by the clock of this context. Returns at once if `instant` has passed.
    ///
    /// # Errors
    ///
    /// [`Stopped`], as soon as the stop of this service is requested.
    pub fn sleep_until(&self, instant: Instant) -> Result<(), Stopped> {
        self.shared.clock.sleep_until(instant, &self.token, Waits::Sleep)
    }

    /// Receives a message from a channel. Blocks until a message arrives or the stop of this service is requested.
    ///
    /// # Errors
    ///
    /// - [`RecvError::Stopped`] after the stop request, even if messages are left in the channel.
    /// - [`RecvError::Disconnected`] if the channel is empty and its last sender is gone.
    pub fn recv<T>(&self, from: &Receiver<T>) -> Result<T, RecvError> {
        self.token.recv(from)
    }

    /// Returns an iterator that ticks at a fixed rate, by the clock of this context, until the stop request. The first tick
    /// comes after one `period`.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    pub fn ticks(&self, period: Duration) -> Ticks {
        Ticks::new(self.shared.clock.clone(), self.token.clone(), period)
    }

    /// Returns a receiver that disconnects at the stop request, for use in [`crossbeam_channel::select!`].
    pub fn done(&self) -> &Receiver<Infallible> {
        self.token.done()
    }

    /// Calls `f` once when the stop of this service is requested, unless the guard is dropped earlier.
    ///
    /// The host calls `f` on a pool of threads that all hosts of the process share. The pool starts with one thread. It grows, to
    /// at most 512 threads, if callbacks wait and none has returned for 10 ms. A callback that blocks delays no other service,
    /// and the report names it. See [`StopToken::on_stop`].
    pub fn on_stop(&self, f: impl FnOnce() + Send + 'static) -> StopCallback {
        self.token.on_stop(f)
    }

    /// Calls `f` repeatedly from the stop request on, until the guard is dropped. Use it for interrupts that are lost if they
    /// come too early. See [`StopToken::on_stop_repeating`].
    pub fn on_stop_repeating(&self, every: Duration, mut f: impl FnMut() + Send + 'static) -> RepeatingStopCallback {
        let shared = self.shared.clone();
        self.token.on_stop_repeating_named(callback_thread_name(self.name()), every, move || {
            let _call = shared.id.map(|id| shared.host.registry().begin_repeating_call(id));
            f();
        })
    }

    /// Reports an error that does not end the service. The host logs and counts the error and emits it as an event.
    pub fn report_error(&self, error: impl Into<BoxError>) {
        let error = error.into();
        match self.shared.id {
            Some(id) => self.registry().record_error(id, &*error),
            None => self.emit(EventKind::Reported { error: error_chain_text(&*error) }),
        }
        drop_error(error);
    }

    /// Reports that a schedule of this service has skipped ticks. The host logs a warning, counts the ticks and emits
    /// [`EventKind::MissedTicks`](crate::EventKind::MissedTicks).
    pub fn report_missed_ticks(&self, missed: u32) {
        match self.shared.id {
            Some(id) => self.registry().record_missed_ticks(id, missed),
            None => self.emit(EventKind::MissedTicks { missed }),
        }
    }

    /// Reports that items are left in a queue which this service had to empty by its stop deadline. The host logs a warning and
    /// emits [`EventKind::QueueNotDrained`](crate::EventKind::QueueNotDrained).
    pub fn report_queue_not_drained(&self, items: usize) {
        self.emit(EventKind::QueueNotDrained { items });
    }

    /// Marks the service as complete for good: another run would find nothing to do.
    ///
    /// If the current `run` returns `Ok`, the service has completed, and even [`Restart::always`](crate::Restart::always)
    /// does not start it again. If `run` fails, the mark has no effect, and the next start removes it. A consumer does this
    /// when its queue is closed and empty; a [`group`](crate::group) does it when all its services have.
    ///
    /// ```
    /// use hosted::{Host, Restart, StopReason, worker};
    ///
    /// let mut pages = vec!["a", "b", "c"];
    /// let mut host = Host::new();
    /// host.add("export", worker(move |ctx| {
    ///     let Some(page) = pages.pop() else {
    ///         ctx.mark_complete(); // everything is exported
    ///         return Ok(());
    ///     };
    ///     println!("exported {page}");
    ///     Ok(()) // started again for the next page
    /// }))
    /// .restart(Restart::always().backoff(std::time::Duration::ZERO..=std::time::Duration::ZERO));
    /// let report = host.run().unwrap();
    /// assert_eq!(report.reason, StopReason::AllCompleted);
    /// assert_eq!(report.services[0].restarts, 3);
    /// ```
    ///
    /// Without a host it does nothing.
    pub fn mark_complete(&self) {
        if let Some(id) = self.shared.id {
            self.registry().mark_complete(id);
        }
    }

    /// Returns the stop deadline: the time by which this service must have stopped. Returns `None` before the stop request, and
    /// if there is no deadline.
    ///
    /// The deadline is the earlier of two times:
    ///
    /// - the service's own `stop_timeout` after the stop request,
    /// - shortly before the host stops waiting: earlier by 5 % of the time that was left at the stop request, but at least 20 ms
    ///   and at most a quarter of that time.
    ///
    /// All services of a group have the deadline of the group. For a service with `disconnect_when_hung`, the deadline is the
    /// time of the forced disconnect. The deadline moves closer if a stop with less time begins. Read it again after each wait.
    ///
    /// The [`Context`] of a job in a queue stops before this deadline, so that the job has time to finish: see
    /// [`for_job`](Self::for_job). .NET: the token that `StopAsync` receives.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.registry().stop_deadline(self.shared.id?)
    }

    /// Returns the same context with a token that stops at the [stop deadline](Self::stop_deadline) of the service, and
    /// not at its stop request. Use it for work that may continue until the deadline.
    ///
    /// If the deadline moves closer, the token follows. Without a host, the token never stops. For a job that must finish
    /// by the deadline, see [`for_job`](Self::for_job).
    ///
    /// ```
    /// use hosted::{Context, Host, worker};
    /// use std::time::Duration;
    ///
    /// let (sender, backlog) = crossbeam_channel::unbounded();
    /// let mut host = Host::new();
    /// host.add("uploader", worker(move |ctx| {
    ///     ctx.wait(); // in real life: work, until a stop is requested
    ///     let ctx = ctx.until_deadline();
    ///     while let Ok(item) = backlog.try_recv() {
    ///         let _: u32 = item; // upload it
    ///         ctx.sleep(Duration::from_millis(1))?; // returns at the stop deadline
    ///     }
    ///     Ok(())
    /// }));
    /// host.start().unwrap();
    /// sender.send(1).unwrap();
    /// host.stop(Duration::from_secs(10)).unwrap();
    /// ```
    pub fn until_deadline(&self) -> Context {
        self.with_token(self.deadline_source(DeadlineKind::Deadline).token())
    }

    /// Returns the same context with a token that stops shortly before the [stop deadline](Self::stop_deadline). Use it for
    /// jobs that are finished after a stop request.
    ///
    /// The token stops when a tenth of the time is left, but at least 100 ms and at most half of the time. So a job whose token
    /// stops has time to finish by the deadline. A [consumer](crate::Queue::consumer) gives such a context to its jobs.
    pub fn for_job(&self) -> Context {
        self.with_token(self.deadline_source(DeadlineKind::Job).token())
    }

    fn deadline_source(&self, kind: DeadlineKind) -> StopSource {
        self.shared.id.map_or_else(StopSource::new, |id| self.registry().deadline_source(id, kind))
    }

    /// Returns `true` if this is the run after the stop request that [`finish_on_stop`](crate::Restart::finish_on_stop) grants.
    pub(crate) fn is_finishing(&self) -> bool {
        self.shared.id.is_some_and(|id| self.registry().is_finishing(id))
    }

    /// Returns a watch for code that waits until the stop deadline. Returns `None` without a host.
    #[cfg(all(feature = "io", target_os = "linux"))]
    pub(crate) fn watch_deadline(&self) -> Option<DeadlineWatch> {
        self.shared.id.map(|id| DeadlineWatch::new(self.shared.host.registry().clone(), id))
    }

    /// Blocks until every service of the host has started. .NET: `ApplicationStarted`.
    ///
    /// Call it in `run`. A `start` that calls it waits for itself.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the stop of this service is requested first, for example because another service failed to start.
    #[doc(alias = "ApplicationStarted")]
    pub fn wait_until_started(&self) -> Result<(), Stopped> {
        if self.shared.id.is_none() {
            return self.check();
        }
        match self.token.recv_as(self.shared.host.started().done(), Waits::Started) {
            Err(RecvError::Stopped) => Err(Stopped),
            _ => Ok(()), // disconnected: the host has started
        }
    }

    /// Returns how often this service has been restarted.
    pub fn restarts(&self) -> u32 {
        self.shared.id.map_or(0, |id| self.registry().restarts(id))
    }

    /// Returns a handle of the host, which shows its services and can request its stop.
    pub fn host(&self) -> &HostHandle {
        &self.shared.host
    }

    /// Returns a token that stops when this service will not be started again, and `true` if a host decides that. Without a
    /// host it returns the stop token of the service, which is never started again after its stop request.
    pub(crate) fn retired(&self) -> (StopToken, bool) {
        match self.shared.id {
            Some(id) => (self.registry().retired_token(id), true),
            None => (self.token.clone(), false),
        }
    }

    pub(crate) fn registry(&self) -> &Registry {
        self.shared.host.registry()
    }

    pub(crate) fn id(&self) -> Option<ServiceId> {
        self.shared.id
    }

    /// Returns the watch of a service that is watched for stalls.
    pub(crate) fn stall_watch(&self) -> Option<&Arc<Watch>> {
        self.shared.watch.as_ref()
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.shared.name.clone()
    }

    /// Logs and publishes an event of this service.
    pub(crate) fn emit(&self, kind: EventKind) {
        self.registry().emit(Some(self.shared_name()), kind);
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stop_requested = self.stop_requested();
        f.debug_struct("Context")
            .field("name", &self.name())
            .field("stop_requested", &stop_requested)
            .finish_non_exhaustive()
    }
}
