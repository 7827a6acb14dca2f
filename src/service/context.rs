//! What a service is given: its name, its stop token, its clock, its host.

use super::ticks::Ticks;
use crate::clock::Clock;
use crate::diagnose::Waits;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::registry::DeadlineWatch;
use crate::registry::{HostHandle, Registry};
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
    seat: Arc<ContextInner>,
}

#[derive(Clone)]
struct ContextInner {
    name: Arc<str>,
    clock: Clock,
    host: HostHandle,
    /// The service's row on the host's board; `None` without a host.
    index: Option<usize>,
}

impl Context {
    /// A context without a host, for unit tests.
    ///
    /// Its [`host`](Self::host) has no services; `request_stop` on it sets its `stopping()`, so that a test can see
    /// it. [`report_error`](Self::report_error) logs. [`wait_until_started`](Self::wait_until_started) returns at once.
    pub fn new(name: impl Into<Arc<str>>, token: StopToken) -> Self {
        let seat =
            ContextInner { name: name.into(), clock: Clock::system(), host: HostHandle::detached(), index: None };
        Context { token, seat: Arc::new(seat) }
    }

    pub(crate) fn for_service(name: Arc<str>, token: StopToken, clock: Clock, host: HostHandle, index: usize) -> Self {
        Context { token, seat: Arc::new(ContextInner { name, clock, host, index: Some(index) }) }
    }

    /// The same context by another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        let seat = ContextInner { clock, ..(*self.seat).clone() };
        Context { seat: Arc::new(seat), ..self }
    }

    /// The same context under another token: what a job of a queue gets.
    pub(crate) fn with_token(&self, token: StopToken) -> Self {
        Context { token, seat: self.seat.clone() }
    }

    /// The name of the service; in a group, `group/child`.
    pub fn name(&self) -> &str {
        &self.seat.name
    }

    /// The clock that this context's sleeps and ticks go by.
    pub fn clock(&self) -> &Clock {
        &self.seat.clock
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
        self.seat.clock.sleep(time, &self.token, waits)
    }

    /// Sleeps until `instant`, by this context's clock; not at all when that has passed.
    ///
    /// # Errors
    ///
    /// [`Stopped`], at once, when this service is asked to stop.
    pub fn sleep_until(&self, instant: Instant) -> Result<(), Stopped> {
        self.seat.clock.sleep_until(instant, &self.token, Waits::Sleep)
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
        Ticks::new(self.seat.clock.clone(), self.token.clone(), period)
    }

    /// A receiver that disconnects at the stop: an arm of [`crossbeam_channel::select!`].
    pub fn done(&self) -> &Receiver<Infallible> {
        self.token.done()
    }

    /// Calls `f` once when this service is asked to stop, unless the guard is dropped before.
    ///
    /// A host runs it on a pool of threads that all hosts of the process share: one thread at first, more when a callback has
    /// waited for 10 ms, 512 at most. A callback that blocks delays no other service, and is named in the report.
    /// See [`StopToken::on_stop`].
    pub fn on_stop(&self, f: impl FnOnce() + Send + 'static) -> StopCallback {
        self.token.on_stop(f)
    }

    /// Calls `f` when this service is asked to stop, and again, until the guard is dropped: for interrupts that are lost when
    /// they come a moment early. See [`StopToken::on_stop_repeating`].
    pub fn on_stop_repeating(&self, every: Duration, mut f: impl FnMut() + Send + 'static) -> RepeatingStopCallback {
        let seat = self.seat.clone();
        self.token.on_stop_repeating_named(callback_thread_name(self.name()), every, move || {
            let _call = seat.index.map(|index| seat.host.board().repeats(index));
            f();
        })
    }

    /// Reports an error that is no reason to end: it is logged, counted, and told as an event.
    pub fn report_error(&self, error: impl Into<BoxError>) {
        let error = error.into();
        match self.seat.index {
            Some(index) => self.board().reported(index, &*error),
            None => self.say(EventKind::Reported { error: error_chain_text(&*error) }),
        }
        drop_error(error);
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
        if let Some(index) = self.seat.index {
            self.board().update(|inner| inner.slots[index].complete = true);
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
        let index = self.seat.index?;
        self.board().read(|inner| inner.slots[index].stop_deadline)
    }

    /// A source that is stopped a lead before this service's deadline, also if the deadline moves closer. For one run of a
    /// queue's consumer.
    pub(crate) fn until_deadline_source(&self) -> StopSource {
        self.seat.index.map_or_else(StopSource::new, |index| self.board().until_deadline_source(index))
    }

    /// Whether a stop was requested before this life of the service, which is there to finish what the service holds.
    pub(crate) fn is_finishing(&self) -> bool {
        self.seat.index.is_some_and(|index| self.board().read(|inner| inner.slots[index].finishing))
    }

    /// For code that waits until the deadline. `None` without a host.
    #[cfg(all(feature = "io", target_os = "linux"))]
    pub(crate) fn watch_deadline(&self) -> Option<DeadlineWatch> {
        self.seat.index.map(|index| DeadlineWatch::new(self.seat.host.board().clone(), index))
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
        if self.seat.index.is_none() {
            return self.check();
        }
        match self.token.recv_as(self.seat.host.started().done(), Waits::Started) {
            Err(RecvError::Stopped) => Err(Stopped),
            _ => Ok(()), // disconnected: it has started
        }
    }

    /// How often this service has been started again.
    pub fn restarts(&self) -> u32 {
        self.seat.index.map_or(0, |index| self.board().read(|inner| inner.slots[index].restarts))
    }

    /// The host: to look at its services, or to ask it to stop.
    pub fn host(&self) -> &HostHandle {
        &self.seat.host
    }

    /// A token that is stopped once this service will not be started again, and whether a host says so. Without a host it
    /// is the service's own: what is asked to stop there is not started again.
    pub(crate) fn retired(&self) -> (StopToken, bool) {
        match self.seat.index {
            Some(index) => (self.board().read(|inner| inner.slots[index].retired.token()), true),
            None => (self.token.clone(), false),
        }
    }

    pub(crate) fn board(&self) -> &Registry {
        self.seat.host.board()
    }

    pub(crate) fn index(&self) -> Option<usize> {
        self.seat.index
    }

    pub(crate) fn shared_name(&self) -> Arc<str> {
        self.seat.name.clone()
    }

    /// Says something about this service.
    pub(crate) fn say(&self, kind: EventKind) {
        self.board().say(Some(self.shared_name()), kind);
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
