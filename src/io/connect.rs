//! Connecting until the stop.

use super::ready::ready;
use crate::stop::StopToken;
use crate::sync::deadline;
use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

impl StopToken {
    /// Connects to `address`, until the stop, and for at most `timeout`: a [`Duration`], or `None` for as long as the system
    /// tries.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stop = StopSource::new();
    /// let stream = stop.token().connect(listener.local_addr()?, Duration::from_secs(5))?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`](crate::Stopped) inside once a stop is requested;
    /// [`TimedOut`](io::ErrorKind::TimedOut) when the time is up; else what `connect` says.
    pub fn connect(&self, address: SocketAddr, timeout: impl Into<Option<Duration>>) -> io::Result<TcpStream> {
        let until = timeout.into().and_then(deadline);
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let stream = TcpStream::from(close_on_exec(socket(family, SocketType::STREAM, None)?)?);
        stream.set_nonblocking(true)?;
        match connect(&stream, &address) {
            Ok(()) => {}
            // An interrupted connect goes on by itself.
            Err(Errno::INPROGRESS | Errno::INTR) => {
                if !ready(self, stream.as_fd(), PollFlags::OUT, until)? {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "connecting has taken too long"));
                }
                sockopt::socket_error(&stream)??;
            }
            Err(error) => return Err(error.into()),
        }
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// Not to be held by a child process. One that is started at this very moment may get it: not every system can make such a
/// socket in one step.
fn close_on_exec(socket: OwnedFd) -> io::Result<OwnedFd> {
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok(socket)
}
