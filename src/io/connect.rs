//! `connect`: connects a TCP stream, or returns at the stop.

use super::ready::{check, ready};
use crate::stop::StopToken;
use crate::util::time::deadline;
use rustix::event::PollFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::net::SocketFlags;
use rustix::net::{AddressFamily, SocketType, connect, sockopt};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

impl StopToken {
    /// Connects to `address`, or returns when a stop is requested or `timeout` has passed. Feature `io`.
    ///
    /// `timeout` is a [`Duration`], or `None` for the timeout of the system. The stream is blocking.
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
    /// - Returns [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`](crate::Stopped) as its inner error if
    ///   a stop was requested.
    /// - Returns [`TimedOut`](io::ErrorKind::TimedOut) if `timeout` has passed.
    /// - Returns the error of the system if the connection fails.
    pub fn connect(&self, address: SocketAddr, timeout: impl Into<Option<Duration>>) -> io::Result<TcpStream> {
        check(self)?; // a stop that was requested before makes no connection attempt
        let until = timeout.into().and_then(deadline);
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let stream = TcpStream::from(socket(family)?);
        stream.set_nonblocking(true)?;
        match connect(&stream, &address) {
            Ok(()) => {}
            // A connect that was interrupted by a signal continues in the background.
            Err(Errno::INPROGRESS | Errno::INTR) => {
                if !ready(self, stream.as_fd(), PollFlags::OUT, until)? {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"));
                }
                sockopt::socket_error(&stream)??;
            }
            Err(error) => return Err(error.into()),
        }
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}

/// Creates a socket that child processes do not inherit. An inherited socket would keep the connection open as long as the
/// child lives.
#[cfg(target_os = "linux")]
fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// Creates a socket that child processes do not inherit. Not every system can do this in one step, so a child that is started
/// between the two steps may inherit the socket.
#[cfg(not(target_os = "linux"))]
fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    // As in the standard library, writing to a closed connection must return an error, and not send SIGPIPE.
    #[cfg(target_vendor = "apple")]
    sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}
