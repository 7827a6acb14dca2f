//! What a service is given: its name, its stop token, its clock, its host.

use super::ticks::Ticks;
use crate::clock::Clock;
use crate::diagnose::Waits;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::registry::DeadlineWatch;
use crate::registry::{DeadlineKind, HostHandle, Registry, ServiceId};
use crate::report::{BoxError, EventKind, Result, drop_error, error_chain_text};
use crate::stop::{RecvError, RepeatingStopCallback, StopCallback, StopSource, StopToken, Stopped};
use crate::util::sync::Arc;
use crate::util::text::callback_thread_name;
use crossbeam_channel::Receiver;
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

/// What a [`Service`](crate::Service) is given: its name, its stop token, its clock and its host.
///
/// Cheap to clone, and to hand to helper threads. (A service that has ended by itself is not asked to stop: a helper that may
/// outlive it waits on [`ctx.host().stopping()`](crate::HostHandle::stopping).) A unit test makes one without a host:
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
}

impl Context {
    /// A context without a host, for unit tests.
    ///
    /// Its [`host`](Self::host) has no services; `request_stop` on it sets its `stopping()`, so that a test can see
    /// it. [`report_error`](Self::report_error) logs. [`wait_until_started`](Self::wait_until_started) returns at once.
    pub fn new(name: impl Into<Arc<str>>, token: StopToken) -> Self {
        let shared = ContextInner { name: name.into(), clock: Clock::system(), host: HostHandle::detached(), id: None };
        Context { token, shared: Arc::new(shared) }
    }

    pub(crate) fn for_service(name: Arc<str>, token: StopToken, clock: Clock, host: HostHandle, id: ServiceId) -> Self {
        Context { token, shared: Arc::new(ContextInner { name, clock, host, id: Some(id) }) }
    }

    /// The same context by another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        let shared = ContextInner { clock, ..(*self.shared).clone() };
        Context { shared: Arc::new(shared), ..self }
    }

    /// The same context under another token: what a job of a queue gets.
    pub(crate) fn with_token(&self, token: StopToken) -> Self {
        Context { token, shared: self.shared.clone() }
    }

    /// The name of the service; in a group, `group/child`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The clock that this context's sleeps and ticks go by.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The token that is stopped when this service is asked to stop. .NET: the `stoppingToken`.
    #[doc(alias = "stoppingToken")]
    pub fn stop_token(&self) -> &StopToken {
        &self.token
    }

    /// Whether this service was asked to stop. One atomic load.
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.token.stop_requested()
    }

    /// `Ok` until this service is asked to stop: with `?`, the way out of a loop that never waits.
    ///
    /// # Errors
    ///
    /// [`Stopped`] from then on.
    pub fn check(&self) -> Result<(), Stopped> {
        self.token.check()
    }

    /// Waits until this service is asked to stop.
    pub fn wait(&self) {
        self.token.wait();
    }

    /// Sleeps for `time`, by this context's clock. `Duration::MAX` is for ever.
    ///
    /// # Errors
    ///
    /// [`Stopped`], at once, when this service is asked to stop.
    #[doc(alias("Task.Delay", "delay"))]
    pub fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.sleep_as(time, Waits::Sleep)
    }

    /// The same, shown as that wait.
    pub(crate) fn sleep_as(&self, time: Duration, waits: Waits) -> Result<(), Stopped> {
        self.shared.clock.sleep(time, &self.token, waits)
    }

    /// Sleeps until `instant`, by this context's clock; not at all when that has passed.
    ///
    /// # Errors
    ///
    /// [`Stopped`], at once, when this service is asked to stop.
    pub fn sleep_until(&self, instant: Instant) -> Result<(), Stopped> {
        self.shared.clock.sleep_until(instant, &self.token, Waits::Sleep)
    }

    /// Receives from a channel, until this service is asked to stop.
    ///
    /// # Errors
    ///
    /// [`RecvError::Stopped`] once it is asked to stop, also while messages are left;
    /// [`RecvError::Disconnected`] when the channel is empty and its last sender is gone.
    pub fn recv<T>(&self, from: &Receiver<T>) -> Result<T, RecvError> {
        self.token.recv(from)
    }

    /// Ticks at a fixed rate by this context's clock, the first after one `period`, until the stop.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    pub fn ticks(&self, period: Duration) -> Ticks {
        Ticks::new(self.shared.clock.clone(), self.token.clone(), period)
    }

    /// A receiver that disconnects at the stop: an arm of [`crossbeam_channel::select!`].
    pub fn done(&self) -> &Receiver<Infallible> {
        self.token.done()
    }

    /// Calls `f` once when this service is asked to stop, unless the guard is dropped before.
    ///
    /// A host runs it on a pool of threads that all hosts of the process share: one thread at first, more when callbacks wait and
    /// none has returned for 10 ms, 512 at most. A callback that blocks delays no other service, and is named in the report.
    /// See [`StopToken::on_stop`].
    pub fn on_stop(&self, f: impl FnOnce() + Send + 'static) -> StopCallback {
        self.token.on_stop(f)
    }

    /// Calls `f` when this service is asked to stop, and again, until the guard is dropped: for interrupts that are lost when
    /// they come a moment early. See [`StopToken::on_stop_repeating`].
    pub fn on_stop_repeating(&self, every: Duration, mut f: impl FnMut() + Send + 'static) -> RepeatingStopCallback {
        let shared = self.shared.clone();
        self.token.on_stop_repeating_named(callback_thread_name(self.name()), every, move || {
            let _call = shared.id.map(|id| shared.host.registry().begin_repeating_call(id));
            f();
        })
    }

    /// Reports an error that is no reason to end: it is logged, counted, and told as an event.
    pub fn report_error(&self, error: impl Into<BoxError>) {
        let error = error.into();
        match self.shared.id {
            Some(id) => self.registry().record_error(id, &*error),
            None => self.emit(EventKind::Reported { error: error_chain_text(&*error) }),
        }
        drop_error(error);
    }

    /// Reports that a schedule of this service has skipped ticks: a WARN, and
    /// [`EventKind::MissedTicks`](crate::EventKind::MissedTicks).
    pub fn report_missed_ticks(&self, missed: u32) {
        self.emit(EventKind::MissedTicks { missed });
    }

    /// Reports that items are left in a queue which this service was to empty by its stop deadline: a WARN, and
    /// [`EventKind::QueueNotDrained`](crate::EventKind::QueueNotDrained).
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

    /// Returns the time by which this service should have ended. `None` before the stop request, and if there is no
    /// deadline.
    ///
    /// It is the service's own `stop_timeout` after the stop request, or 5 % (at least 20 ms, at most a quarter) of the
    /// time that was left then before the host stops waiting, whichever comes first. Everything in a group has the group's
    /// deadline. For a service with `disconnect_when_hung` it is the time
    /// of the forced disconnect. It can move closer, if a stop with less time begins: read it again after each wait.
    ///
    /// The [`Context`] of a queue's job is stopped before this deadline: a tenth of the time that was left, at least
    /// 100 ms, but at most half. So a job that hears of its stop has time to finish by this deadline. .NET: the token that
    /// `StopAsync` is given.
    pub fn stop_deadline(&self) -> Option<Instant> {
        self.registry().stop_deadline(self.shared.id?)
    }

    /// Returns the same context with a token that stops at the [stop deadline](Self::stop_deadline) of the service, and
    /// not at its stop request: for work that may go on until then.
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

    /// Returns the same context with a token that stops shortly before the [stop deadline](Self::stop_deadline): for jobs
    /// that are finished after a stop request.
    ///
    /// The token stops when a tenth of the time is left, at least 100 ms, at most half. So a job that sees the stop has time
    /// to finish by the deadline. A [consumer](crate::Queue::consumer) gives such a context to its jobs.
    pub fn for_job(&self) -> Context {
        self.with_token(self.deadline_source(DeadlineKind::Job).token())
    }

    fn deadline_source(&self, kind: DeadlineKind) -> StopSource {
        self.shared.id.map_or_else(StopSource::new, |id| self.registry().deadline_source(id, kind))
    }

    /// Whether a stop was requested before this life of the service, which is there to finish what the service holds.
    pub(crate) fn is_finishing(&self) -> bool {
        self.shared.id.is_some_and(|id| self.registry().is_finishing(id))
    }

    /// For code that waits until the deadline. `None` without a host.
    #[cfg(all(feature = "io", target_os = "linux"))]
    pub(crate) fn watch_deadline(&self) -> Option<DeadlineWatch> {
        self.shared.id.map(|id| DeadlineWatch::new(self.shared.host.registry().clone(), id))
    }

    /// Waits until every service of the host has started. .NET: `ApplicationStarted`.
    ///
    /// For `run`: a `start` that waits for it waits for itself.
    ///
    /// # Errors
    ///
    /// [`Stopped`] when this service is asked to stop before, also because another one failed to start.
    #[doc(alias = "ApplicationStarted")]
    pub fn wait_until_started(&self) -> Result<(), Stopped> {
        if self.shared.id.is_none() {
            return self.check();
        }
        match self.token.recv_as(self.shared.host.started().done(), Waits::Started) {
            Err(RecvError::Stopped) => Err(Stopped),
            _ => Ok(()), // disconnected: it has started
        }
    }

    /// How often this service has been started again.
    pub fn restarts(&self) -> u32 {
        self.shared.id.map_or(0, |id| self.registry().restarts(id))
    }

    /// The host: to look at its services, or to ask it to stop.
    pub fn host(&self) -> &HostHandle {
        &self.shared.host
    }

    /// A token that is stopped once this service will not be started again, and whether a host says so. Without a host it
    /// is the service's own: what is asked to stop there is not started again.
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

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.shared.name.clone()
    }

    /// Says something about this service.
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
