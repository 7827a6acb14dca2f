//! The one wait that all others are made of: until a descriptor is ready, or the stop.

use crate::error::Stopped;
use crate::stop::StopToken;
use crate::sync::{deadline, left};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Longer waits are made of several: where there is no `ppoll`, `poll` counts milliseconds in 32 bits.
const LONGEST: Duration = Duration::from_secs(20 * 24 * 3600);

impl StopToken {
    /// Waits until `fd` has something to read (true), for at most `timeout` (false): for datagrams, and for descriptors of
    /// libraries.
    ///
    /// An end of file, a hang-up and an error count as something to read: the call that reads tells which. `timeout` is a
    /// [`Duration`], or `None` for as long as it takes.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::net::UdpSocket;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let stop = StopSource::new();
    /// assert!(!stop.token().wait_readable(&socket, Duration::from_millis(1))?);
    /// socket.send_to(b"hello", socket.local_addr()?)?;
    /// assert!(stop.token().wait_readable(&socket, None)?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`] inside once a stop is requested; what `poll` says,
    /// and where there is no descriptor to be had for the token.
    pub fn wait_readable(&self, fd: &impl AsFd, timeout: impl Into<Option<Duration>>) -> io::Result<bool> {
        ready(self, fd.as_fd(), PollFlags::IN, timeout.into().and_then(deadline))
    }
}

/// Waits until `fd` is ready for `what` (true) or `until` (false). A stop comes first.
pub(super) fn ready(
    token: &StopToken,
    fd: BorrowedFd<'_>,
    what: PollFlags,
    until: Option<Instant>,
) -> io::Result<bool> {
    check(token)?;
    let mut fds = [PollFd::from_borrowed_fd(token.fd()?, PollFlags::IN), PollFd::from_borrowed_fd(fd, what)];
    let ready = poll_until(&mut fds, until)?;
    if ready && !fds[0].revents().is_empty() { Err(stopped()) } else { Ok(ready) }
}

/// Whether there was no stop yet.
pub(super) fn check(token: &StopToken) -> io::Result<()> {
    if token.stop_requested() { Err(stopped()) } else { Ok(()) }
}

/// Waits until one of `fds` is ready (true) or `until` (false).
pub(super) fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<bool> {
    loop {
        let time = until.and_then(|_| Timespec::try_from(left(until).min(LONGEST)).ok());
        match poll(fds, time.as_ref()) {
            Ok(0) if left(until).is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Not `Interrupted`, which the standard library's read loops try again for ever.
fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)
}

/// Whether an error is that of a stop.
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}
