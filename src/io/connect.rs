//! Connecting until the stop.

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
        check(self)?; // before anybody is called
        let until = timeout.into().and_then(deadline);
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let stream = TcpStream::from(socket(family)?);
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

/// Not to be held by a child process: a connection would live as long as that.
#[cfg(target_os = "linux")]
fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

/// The same in two steps, as not every system has it in one: a child that is started at this very moment may get it.
#[cfg(not(target_os = "linux"))]
fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    // As the standard library's sockets: a peer that has gone is an error, not a signal.
    #[cfg(target_vendor = "apple")]
    sockopt::set_socket_nosigpipe(&socket, true)?;
    Ok(socket)
}
