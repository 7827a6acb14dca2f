//! The wait that all others are made of: until a descriptor is ready, or the stop.

use crate::stop::{StopToken, Stopped};
use crate::util::time::{deadline, remaining};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// Longer waits are made of several: where there is no `ppoll`, `poll` counts milliseconds in 32 bits.
const LONGEST: Duration = Duration::from_secs(20 * 24 * 3600);

impl StopToken {
    /// Waits until `fd` has something to read, for at most `timeout`. Returns `false` if the time is up.
    ///
    /// `timeout` is a [`Duration`], or `None` for no limit. An end of file, a hang-up and an error count as something to
    /// read: the call that reads tells which.
    ///
    /// **Readiness is not a reservation.** Another thread or process may take what is there before you do, and a datagram
    /// with a bad checksum is announced and then dropped. A call that blocks then does not hear the stop. So set the
    /// descriptor to non-blocking, and wait again after [`WouldBlock`](io::ErrorKind::WouldBlock). For streams,
    /// [`interruptible`](Self::interruptible) does this.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::net::UdpSocket;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// let stop = StopSource::new();
    /// socket.set_nonblocking(true)?;
    /// assert!(!stop.token().wait_readable(&socket, Duration::from_millis(1))?);
    /// socket.send_to(b"hello", socket.local_addr()?)?;
    /// let mut bytes = [0; 1500];
    /// let length = loop {
    ///     stop.token().wait_readable(&socket, None)?;
    ///     match socket.recv(&mut bytes) {
    ///         Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {} // another reader was faster
    ///         received => break received?,
    ///     }
    /// };
    /// assert_eq!(&bytes[..length], b"hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`] inside once a stop is requested; what `poll`
    /// returns; the system's error if there is no descriptor left for the token.
    pub fn wait_readable(&self, fd: &impl AsFd, timeout: impl Into<Option<Duration>>) -> io::Result<bool> {
        ready(self, fd.as_fd(), PollFlags::IN, timeout.into().and_then(deadline))
    }
}

/// Waits until `fd` is ready for `what`. Returns `false` if `until` comes first. A stop takes precedence.
pub(super) fn ready(
    token: &StopToken,
    fd: BorrowedFd<'_>,
    what: PollFlags,
    until: Option<Instant>,
) -> io::Result<bool> {
    check(token)?;
    if token.is_never() {
        return poll_until(&mut [PollFd::from_borrowed_fd(fd, what)], until);
    }
    loop {
        let mut fds = [PollFd::from_borrowed_fd(token.fd()?, PollFlags::IN), PollFd::from_borrowed_fd(fd, what)];
        let in_time = poll_until(&mut fds, until)?;
        let [rung, ready] = fds.map(|fd| !fd.revents().is_empty());
        if rung {
            // The flag decides, not the descriptor: after a `fork`, a stop in the other process rings here too.
            check(token)?;
            token.clear_foreign_signal()?;
        }
        if ready || !in_time {
            return Ok(ready);
        }
    }
}

/// Returns the error of a stop if one was requested.
pub(super) fn check(token: &StopToken) -> io::Result<()> {
    if token.stop_requested() { Err(stopped()) } else { Ok(()) }
}

/// Waits until one of `fds` is ready. Returns `false` if `until` comes first.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<bool> {
    loop {
        let time = until.and_then(|_| Timespec::try_from(remaining(until).min(LONGEST)).ok());
        match poll(fds, time.as_ref()) {
            Ok(0) if remaining(until).is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Not `Interrupted`, which the standard library's read loops try again for ever.
pub(super) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)
}

/// Whether an error is that of a stop.
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}
