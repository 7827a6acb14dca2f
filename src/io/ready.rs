//! `wait_readable`, and the wait behind every call of this folder: until a descriptor is ready, or the stop.

use crate::diagnose::waiting_in_call;
use crate::stop::{StopToken, Stopped};
use crate::util::time::{deadline, remaining};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The longest timeout of one call of `poll`. A longer wait is split, because on systems without `ppoll` the timeout is a
/// 32-bit number of milliseconds.
const MAX_POLL_TIMEOUT: Duration = Duration::from_secs(20 * 24 * 3600);

impl StopToken {
    /// Waits until `fd` is readable, for at most `timeout`, or until a stop is requested. Returns `false` if `timeout` has
    /// passed. Feature `io`.
    ///
    /// `timeout` is a [`Duration`], or `None` for no limit. At the end of a file, after a hang-up and after an error, `fd` is
    /// readable too. Read from it to find out which it is.
    ///
    /// **Readiness is not a reservation.** Another thread or process may take the data before you read it, and the kernel may
    /// drop a datagram with a bad checksum after it has announced it. A blocking read would then block, and not end at the
    /// stop. So set the descriptor to non-blocking, and wait again after [`WouldBlock`](io::ErrorKind::WouldBlock). For
    /// streams, [`interruptible`](Self::interruptible) does this.
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
    /// - Returns [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`] as its inner error if a stop was
    ///   requested.
    /// - Returns the error of the system if `poll` fails, or if no descriptor is left for the token.
    pub fn wait_readable(&self, fd: &impl AsFd, timeout: impl Into<Option<Duration>>) -> io::Result<bool> {
        ready(self, fd.as_fd(), PollFlags::IN, timeout.into().and_then(deadline))
    }
}

/// Waits until `fd` is ready for `events`. Returns `false` if `until` comes first. A stop takes precedence over both.
///
/// # Errors
///
/// Returns the error of a stop if one was requested, or the error of the system.
pub(super) fn ready(
    token: &StopToken,
    fd: BorrowedFd<'_>,
    events: PollFlags,
    until: Option<Instant>,
) -> io::Result<bool> {
    check(token)?;
    if token.is_never() {
        return poll_until(&mut [PollFd::from_borrowed_fd(fd, events)], until);
    }
    loop {
        let mut fds = [PollFd::from_borrowed_fd(token.fd()?, PollFlags::IN), PollFd::from_borrowed_fd(fd, events)];
        let in_time = poll_until(&mut fds, until)?;
        let [signalled, ready] = fds.map(|fd| !fd.revents().is_empty());
        if signalled {
            // The flag decides, and not the descriptor: after a `fork`, a stop in the other process signals it too.
            check(token)?;
            token.clear_foreign_signal()?;
        }
        if ready || !in_time {
            return Ok(ready);
        }
    }
}

/// Returns an error if a stop was requested.
pub(super) fn check(token: &StopToken) -> io::Result<()> {
    if token.stop_requested() { Err(stopped()) } else { Ok(()) }
}

/// Waits until one of `fds` is ready. Returns `false` if `until` comes first.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], until: Option<Instant>) -> io::Result<bool> {
    let _waiting = waiting_in_call();
    loop {
        let time = until.and_then(|_| Timespec::try_from(remaining(until).min(MAX_POLL_TIMEOUT)).ok());
        match poll(fds, time.as_ref()) {
            Ok(0) if remaining(until).is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Creates the error of a stop. Its kind is not `Interrupted`, because the read loops of the standard library would retry
/// forever.
pub(super) fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)
}

/// Returns `true` if `error` is the error of a stop.
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<Stopped>())
}
