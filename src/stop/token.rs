//! `StopToken`: observes a stop request, waits for it, and registers callbacks.

use super::callback::StopCallback;
use super::error::{RecvError, Stopped};
use super::node::Node;
#[cfg(feature = "io")]
use super::wake_fd::WakeFd;
use crate::diagnose::{Waits, show_life, waiting};
use crate::util::sync::{Arc, OnceLock, thread};
use crate::util::time::{deadline, remaining};
use crossbeam_channel::{Receiver, never, select_biased};
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

/// Observes a stop request, and waits for it.
///
/// A token is cheap to clone and to check: [`stop_requested`](Self::stop_requested) takes one atomic load, no matter how many
/// parents its source is linked to. A stop request cannot be undone. Every wait of a token ends at the stop request, or at
/// once if the stop was requested before. C++: `stop_token`. .NET: `CancellationToken`.
///
/// ```
/// use hosted::StopSource;
/// use std::time::Duration;
///
/// let stop = StopSource::new();
/// let token = stop.token();
/// let worker = std::thread::spawn(move || {
///     while token.sleep(Duration::from_secs(3600)).is_ok() { /* something every hour */ }
/// });
/// stop.request_stop();
/// worker.join().unwrap(); // returns at once, not after an hour
/// ```
#[doc(alias("CancellationToken", "stop_token"))]
#[derive(Clone)]
pub struct StopToken(Option<Arc<Node>>);

impl StopToken {
    /// Creates a token that is never stopped. This allocates no memory.
    ///
    /// ```
    /// use hosted::{Queue, StopToken};
    ///
    /// let queue = Queue::bounded(1);
    /// queue.push_until("tea", &StopToken::never()).unwrap();
    /// assert!(!StopToken::never().stop_requested());
    /// ```
    pub fn never() -> Self {
        StopToken(None)
    }

    pub(super) fn of(node: Arc<Node>) -> Self {
        StopToken(Some(node))
    }

    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        self.0.as_ref()
    }

    /// Returns `true` if both tokens belong to the same source, or if both are never stopped.
    pub(crate) fn is_same_as(&self, other: &StopToken) -> bool {
        match (&self.0, &other.0) {
            (Some(node), Some(other)) => Arc::ptr_eq(node, other),
            (node, other) => node.is_none() && other.is_none(),
        }
    }

    /// Returns `true` if a stop was requested. This takes one atomic load.
    #[doc(alias = "IsCancellationRequested")]
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.0.as_ref().is_some_and(|node| node.stopped())
    }

    /// Returns `Ok` until a stop is requested. With `?`, this ends a loop that never waits.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] if a stop was requested.
    #[doc(alias = "ThrowIfCancellationRequested")]
    pub fn check(&self) -> Result<(), Stopped> {
        if self.stop_requested() { Err(Stopped) } else { Ok(()) }
    }

    /// Blocks until a stop is requested, or forever.
    pub fn wait(&self) {
        self.wait_until(None, Waits::Stop);
    }

    /// Blocks until a stop is requested, for at most `limit`. Returns `true` if a stop was requested.
    ///
    /// `Duration::MAX` is no limit. .NET: `WaitHandle.WaitOne`.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::time::Duration;
    ///
    /// let stop = StopSource::new();
    /// assert!(!stop.token().wait_timeout(Duration::from_millis(1)));
    /// stop.request_stop();
    /// assert!(stop.token().wait_timeout(Duration::MAX));
    /// ```
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.wait_until(deadline(limit), Waits::Stop)
    }

    /// Sleeps for `time`, or until a stop is requested. `Duration::MAX` is forever.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] as soon as a stop is requested.
    pub fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.sleep_as(time, Waits::Sleep)
    }

    /// Sleeps as [`sleep`](Self::sleep) does. Diagnostics show the wait as `waits`.
    pub(crate) fn sleep_as(&self, time: Duration, waits: Waits) -> Result<(), Stopped> {
        if self.wait_until(deadline(time), waits) { Err(Stopped) } else { Ok(()) }
    }

    /// Sleeps until `instant`, or until a stop is requested. Returns at once if `instant` has passed.
    ///
    /// # Errors
    ///
    /// Returns [`Stopped`] as soon as a stop is requested.
    pub fn sleep_until(&self, instant: Instant) -> Result<(), Stopped> {
        self.sleep_until_as(instant, Waits::Sleep)
    }

    /// Sleeps as [`sleep_until`](Self::sleep_until) does. Diagnostics show the wait as `waits`.
    pub(crate) fn sleep_until_as(&self, instant: Instant, waits: Waits) -> Result<(), Stopped> {
        if self.wait_until(Some(instant), waits) { Err(Stopped) } else { Ok(()) }
    }

    /// Receives a message from a channel, or returns when a stop is requested.
    ///
    /// ```
    /// use hosted::{RecvError, StopSource};
    ///
    /// let (sender, orders) = crossbeam_channel::unbounded();
    /// let stop = StopSource::new();
    /// sender.send("tea").unwrap();
    /// assert_eq!(stop.token().recv(&orders), Ok("tea"));
    /// stop.request_stop();
    /// assert_eq!(stop.token().recv(&orders), Err(RecvError::Stopped));
    /// ```
    ///
    /// # Errors
    ///
    /// - Returns [`RecvError::Stopped`] once a stop is requested, even if the channel has messages. They stay in the channel.
    /// - Returns [`RecvError::Disconnected`] if the channel is empty and its last sender was dropped.
    pub fn recv<T>(&self, from: &Receiver<T>) -> Result<T, RecvError> {
        self.recv_as(from, Waits::Message)
    }

    /// Receives as [`recv`](Self::recv) does. Diagnostics show the wait as `waits`.
    pub(crate) fn recv_as<T>(&self, from: &Receiver<T>, waits: Waits) -> Result<T, RecvError> {
        self.check()?;
        if let Ok(message) = from.try_recv() {
            show_life(); // a service that never has to wait is not stalled
            return Ok(message);
        }
        let _waiting = waiting(waits, None);
        // Biased: if both a stop and a message have come, the stop wins and the message stays in the channel.
        select_biased! {
            recv(self.done()) -> _ => Err(RecvError::Stopped),
            recv(from) -> message => message.map_err(|_| match self.check() {
                Ok(()) => RecvError::Disconnected,
                Err(Stopped) => RecvError::Stopped,
            }),
        }
    }

    /// Returns a receiver that disconnects when a stop is requested, for an arm of [`crossbeam_channel::select!`].
    ///
    /// The receiver never has a message.
    ///
    /// ```
    /// use crossbeam_channel::{never, select};
    /// use hosted::StopSource;
    ///
    /// let stop = StopSource::new();
    /// let orders = never::<String>();
    /// stop.request_stop();
    /// select! {
    ///     recv(orders) -> order => println!("{order:?}"),
    ///     recv(stop.token().done()) -> _ => println!("stopping"),
    /// }
    /// ```
    pub fn done(&self) -> &Receiver<Infallible> {
        static NEVER: OnceLock<Receiver<Infallible>> = OnceLock::new();
        self.0.as_ref().map_or_else(|| NEVER.get_or_init(never), |node| node.done())
    }

    /// Returns a descriptor that becomes readable when a stop is requested, and stays readable. Use it in `poll`, or in the
    /// event loop of another library. Feature `io`.
    ///
    /// Do not read from the descriptor. The first call creates it, and it is closed when the last source and token of this
    /// stop are dropped. A token without this call and without I/O calls has no descriptor.
    ///
    /// After a `fork` without `exec`, parent and child share the descriptor, and a stop in one process makes it readable in
    /// both. So if the descriptor is readable, check [`stop_requested`](Self::stop_requested). The I/O calls of this library
    /// do that, and continue to wait if no stop was requested.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use rustix::event::{PollFd, PollFlags, poll};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let stop = StopSource::new();
    /// let token = stop.token();
    /// stop.request_stop();
    /// let mut fds = [PollFd::from_borrowed_fd(token.fd()?, PollFlags::IN)];
    /// assert_eq!(poll(&mut fds, None)?, 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if the process has no descriptor left.
    #[cfg(feature = "io")]
    pub fn fd(&self) -> std::io::Result<std::os::fd::BorrowedFd<'_>> {
        let slot = self.wake_fd();
        if let Some(wake_fd) = slot.get() {
            return Ok(wake_fd.read_fd());
        }
        // Created outside `get_or_init`, because this may fail. If two threads come here, one of them drops its descriptor.
        let created = WakeFd::new()?;
        let wake_fd = slot.get_or_init(|| created);
        self.signal_if_stopped(wake_fd);
        Ok(wake_fd.read_fd())
    }

    /// Clears the descriptor, after it was readable although no stop was requested. The caller must call
    /// [`fd`](Self::fd) again, because it may return another descriptor afterwards.
    #[cfg(feature = "io")]
    pub(crate) fn clear_foreign_signal(&self) -> std::io::Result<()> {
        if let Some(wake_fd) = self.wake_fd().get() {
            wake_fd.clear()?;
            self.signal_if_stopped(wake_fd);
        }
        Ok(())
    }

    /// Returns `true` if this token is [`never`](Self::never) stopped.
    #[cfg(feature = "io")]
    pub(crate) fn is_never(&self) -> bool {
        self.0.is_none()
    }

    #[cfg(feature = "io")]
    fn wake_fd(&self) -> &OnceLock<WakeFd> {
        static NEVER: OnceLock<WakeFd> = OnceLock::new();
        self.0.as_ref().map_or(&NEVER, |node| &node.listeners().wake_fd)
    }

    /// Signals `wake_fd` if a stop was requested. Called after `wake_fd` was created or cleared.
    ///
    /// As with a list (invariant 2 of the node), either this thread sees the stop, or the requester sees the changed
    /// descriptor. Both may signal it.
    #[cfg(feature = "io")]
    fn signal_if_stopped(&self, wake_fd: &WakeFd) {
        if self.0.as_ref().is_some_and(|node| node.listen()) {
            wake_fd.signal();
        }
    }

    /// Calls `f` once when a stop is requested, unless the returned guard is dropped before.
    ///
    /// Use it to wake code that does not know the token: shut down a socket, unblock a server, or notify a condvar.
    ///
    /// - `f` runs on the thread that requests the stop, before `request_stop` returns. A host that stops a service uses a
    ///   pool of threads instead.
    /// - If the stop was requested before this call, `f` runs at once on the calling thread.
    /// - When `f` runs, the token is stopped, every waiter is awake, and no lock is held. This includes the waiters of
    ///   sources that are linked to this one.
    /// - A panic of `f` is logged, and does not prevent other callbacks. Callbacks run in no defined order.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::sync::mpsc;
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let stop = StopSource::new();
    /// let token = stop.token();
    /// let guard = token.on_stop(move || sender.send("woken").unwrap());
    /// stop.request_stop();
    /// assert_eq!(receiver.recv(), Ok("woken"));
    /// # drop(guard);
    /// ```
    #[doc(alias("Register", "stop_callback"))]
    pub fn on_stop(&self, f: impl FnOnce() + Send + 'static) -> StopCallback {
        StopCallback::register(self.node(), || Box::new(f))
    }

    /// Waits for the stop, until `until`. Returns `true` if the stop was requested. Diagnostics show the wait as `waits`.
    pub(crate) fn wait_until(&self, until: Option<Instant>, waits: Waits) -> bool {
        let _waiting = waiting(waits, until);
        match (&self.0, until) {
            (Some(node), until) => node.wait(until),
            (None, Some(until)) => {
                thread::sleep(remaining(Some(until)));
                false
            }
            (None, None) => loop {
                thread::park(); // may return spuriously, but this wait never ends
            },
        }
    }
}

impl fmt::Debug for StopToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopToken").field("stop_requested", &self.stop_requested()).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "io"))]
mod tests {
    use super::super::StopSource;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn clearing_a_descriptor_after_the_stop_signals_it_again() {
        let source = StopSource::new();
        let token = source.token();
        token.fd().unwrap();
        source.request_stop(); // comes between the check of the flag by a waiter and its clear
        token.clear_foreign_signal().unwrap();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(token.fd().unwrap(), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&now)).unwrap(), 1);
    }
}
