//! Seeing the stop: `StopToken`, and reacting to it: `StopCallback`.

use super::callback::StopCallback;
use super::error::{RecvError, Stopped};
use super::node::Node;
#[cfg(feature = "io")]
use super::wake_fd::WakeFd;
use crate::diagnose::{Waits, waiting};
use crate::util::sync::{Arc, OnceLock, thread};
use crate::util::time::{deadline, remaining};
use crossbeam_channel::{Receiver, never, select_biased};
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

/// Sees whether a stop was requested, and waits for it.
///
/// Cheap to clone and to look at: [`stop_requested`](Self::stop_requested) is one atomic load, however many
/// parents its source is linked to. A stop is for ever. Every wait ends at the stop, and at once when that was
/// before. C++'s `stop_token`, .NET's `CancellationToken`.
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
/// worker.join().unwrap(); // at once
/// ```
#[doc(alias("CancellationToken", "stop_token"))]
#[derive(Clone)]
pub struct StopToken(Option<Arc<Node>>);

impl StopToken {
    /// A token that is never stopped. Allocates nothing.
    pub fn never() -> Self {
        StopToken(None)
    }

    pub(super) fn of(node: Arc<Node>) -> Self {
        StopToken(Some(node))
    }

    pub(super) fn node(&self) -> Option<&Arc<Node>> {
        self.0.as_ref()
    }

    /// Returns `true` if both tokens belong to the same source. Tokens that are never stopped are all the same.
    pub(crate) fn is_same_as(&self, other: &StopToken) -> bool {
        match (&self.0, &other.0) {
            (Some(node), Some(other)) => Arc::ptr_eq(node, other),
            (node, other) => node.is_none() && other.is_none(),
        }
    }

    /// Whether a stop was requested. One atomic load.
    #[doc(alias = "IsCancellationRequested")]
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.0.as_ref().is_some_and(|node| node.stopped())
    }

    /// `Ok` until a stop is requested: with `?`, the way out of a loop that never waits.
    ///
    /// # Errors
    ///
    /// [`Stopped`] from the stop on.
    #[doc(alias = "ThrowIfCancellationRequested")]
    pub fn check(&self) -> Result<(), Stopped> {
        if self.stop_requested() { Err(Stopped) } else { Ok(()) }
    }

    /// Waits for the stop. For ever, if none comes.
    pub fn wait(&self) {
        self.wait_until(None, Waits::Stop);
    }

    /// Waits for the stop, for at most `limit`; true when it was requested.
    ///
    /// `Duration::MAX` is for ever. .NET: `WaitHandle.WaitOne`.
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        self.wait_until(deadline(limit), Waits::Stop)
    }

    /// Sleeps for `time`. `Duration::MAX` is for ever.
    ///
    /// # Errors
    ///
    /// [`Stopped`], at once, when a stop is requested.
    pub fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.sleep_as(time, Waits::Sleep)
    }

    /// The same, shown as that wait.
    pub(crate) fn sleep_as(&self, time: Duration, waits: Waits) -> Result<(), Stopped> {
        if self.wait_until(deadline(time), waits) { Err(Stopped) } else { Ok(()) }
    }

    /// Sleeps until `instant`; not at all when that has passed.
    ///
    /// # Errors
    ///
    /// [`Stopped`], at once, when a stop is requested.
    pub fn sleep_until(&self, instant: Instant) -> Result<(), Stopped> {
        self.sleep_until_as(instant, Waits::Sleep)
    }

    /// The same, shown as that wait.
    pub(crate) fn sleep_until_as(&self, instant: Instant, waits: Waits) -> Result<(), Stopped> {
        if self.wait_until(Some(instant), waits) { Err(Stopped) } else { Ok(()) }
    }

    /// Receives from a channel, until the stop.
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
    /// [`RecvError::Stopped`] once a stop is requested, also while messages are left: those stay in the channel.
    /// [`RecvError::Disconnected`] when the channel is empty and its last sender is gone.
    pub fn recv<T>(&self, from: &Receiver<T>) -> Result<T, RecvError> {
        self.recv_as(from, Waits::Message)
    }

    /// The same, shown as that wait.
    pub(crate) fn recv_as<T>(&self, from: &Receiver<T>, waits: Waits) -> Result<T, RecvError> {
        self.check()?;
        if let Ok(message) = from.try_recv() {
            return Ok(message);
        }
        let _waiting = waiting(waits, None);
        // Biased: of a stop and a message that came meanwhile, the stop is seen and the message stays.
        select_biased! {
            recv(self.done()) -> _ => Err(RecvError::Stopped),
            recv(from) -> message => message.map_err(|_| match self.check() {
                Ok(()) => RecvError::Disconnected,
                Err(Stopped) => RecvError::Stopped,
            }),
        }
    }

    /// A receiver that never has a message and disconnects at the stop: an arm of [`crossbeam_channel::select!`].
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

    /// Returns a descriptor that becomes readable at the stop and stays readable: for `poll`, or for the event loop of
    /// another library. Feature `io`.
    ///
    /// Do not read from it. The first call makes the descriptor; it is closed with the last source and token. A token
    /// that does no I/O has none.
    ///
    /// After a `fork` without `exec`, parent and child share the descriptor, and a stop in one of them makes it readable
    /// in both. So if it is readable, look at [`stop_requested`](Self::stop_requested). The calls of this library do
    /// that, and go on waiting if no stop was requested.
    ///
    /// # Errors
    ///
    /// If the process has no descriptor left.
    #[cfg(feature = "io")]
    pub fn fd(&self) -> std::io::Result<std::os::fd::BorrowedFd<'_>> {
        let place = self.bell();
        if let Some(bell) = place.get() {
            return Ok(bell.ear());
        }
        // Made before it is put there, because this may fail. The second of two threads drops its own.
        let made = WakeFd::new()?;
        let bell = place.get_or_init(|| made);
        self.ring_if_stopped(bell);
        Ok(bell.ear())
    }

    /// The descriptor was readable though no stop was requested: makes it possible to wait for it again. It may be another
    /// descriptor from then on.
    #[cfg(feature = "io")]
    pub(crate) fn clear_foreign_ring(&self) -> std::io::Result<()> {
        if let Some(bell) = self.bell().get() {
            bell.clear()?;
            self.ring_if_stopped(bell);
        }
        Ok(())
    }

    /// Whether this is [`never`](Self::never), or a copy of it.
    #[cfg(feature = "io")]
    pub(crate) fn is_never(&self) -> bool {
        self.0.is_none()
    }

    #[cfg(feature = "io")]
    fn bell(&self) -> &OnceLock<WakeFd> {
        static NEVER: OnceLock<WakeFd> = OnceLock::new();
        self.0.as_ref().map_or(&NEVER, |node| &node.lists().bell)
    }

    /// Only after a change of the bell, as with a list (invariant 2 of the node): either this thread sees the stop, or the
    /// requester sees the changed bell. Both may ring.
    #[cfg(feature = "io")]
    fn ring_if_stopped(&self, bell: &WakeFd) {
        if self.0.as_ref().is_some_and(|node| node.listen()) {
            bell.ring();
        }
    }

    /// Calls `f` once when a stop is requested, unless the returned guard is dropped before.
    ///
    /// It runs on the thread that requests the stop (a host that stops a service uses a pool of threads), before
    /// `request_stop` returns, with no lock held; the flag is set and every waiter of this source and of those
    /// linked to it is awake by then. After the stop, `f` runs here and now. One that panics is logged and keeps no
    /// other from running. In which order several run is not defined.
    ///
    /// The way to wake what does not know the token: shut a socket down, unblock a server, notify a condvar.
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

    pub(crate) fn wait_until(&self, until: Option<Instant>, waits: Waits) -> bool {
        let _waiting = waiting(waits, until);
        match (&self.0, until) {
            (Some(node), until) => node.wait(until),
            (None, Some(until)) => {
                thread::sleep(remaining(Some(until)));
                false
            }
            (None, None) => loop {
                thread::park(); // returns when it likes; this wait does not
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
    fn a_clearing_that_takes_the_stops_own_ring_away_rings_again() {
        let source = StopSource::new();
        let token = source.token();
        token.fd().unwrap();
        source.request_stop(); // between a waiter's look at the flag and its clearing
        token.clear_foreign_ring().unwrap();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut fds = [PollFd::from_borrowed_fd(token.fd().unwrap(), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&now)).unwrap(), 1);
    }
}
