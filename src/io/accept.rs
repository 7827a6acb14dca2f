//! `accept`: accepts a connection, or returns at the stop.

use super::ready::ready;
use crate::stop::StopToken;
use crate::util::sync::Arc;
use rustix::event::PollFlags;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{self as unix, UnixListener, UnixStream};

/// A listener for [`StopToken::accept`] and [`serve`](crate::serve): a [`TcpListener`], a [`UnixListener`], or an `Arc` of one.
///
/// This trait is sealed, so other crates cannot implement it.
pub trait Listener: AsFd + sealed::Accept {}

impl Listener for TcpListener {}
impl Listener for UnixListener {}
impl<L: Listener> Listener for Arc<L> {}

mod sealed {
    use std::io;

    pub trait Accept {
        type Stream: Send + 'static;
        type Address;
        fn accept_now(&self) -> io::Result<(Self::Stream, Self::Address)>;
        fn never_block(&self) -> io::Result<()>;
        /// The address that the listener listens at, for messages.
        fn own_address(&self) -> Option<String>;
        /// The address of a client as text. `None` if clients have no addresses.
        fn client_name(address: &Self::Address) -> Option<String>;
    }
}

impl sealed::Accept for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    fn accept_now(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.accept()?;
        stream.set_nonblocking(false)?; // on some systems, the stream inherits non-blocking mode from the listener
        Ok((stream, address))
    }

    fn never_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }

    fn own_address(&self) -> Option<String> {
        self.local_addr().ok().map(|address| address.to_string())
    }

    fn client_name(address: &SocketAddr) -> Option<String> {
        Some(address.to_string())
    }
}

impl<L: Listener> sealed::Accept for Arc<L> {
    type Stream = L::Stream;
    type Address = L::Address;

    fn accept_now(&self) -> io::Result<(L::Stream, L::Address)> {
        (**self).accept_now()
    }

    fn never_block(&self) -> io::Result<()> {
        (**self).never_block()
    }

    fn own_address(&self) -> Option<String> {
        (**self).own_address()
    }

    fn client_name(address: &L::Address) -> Option<String> {
        L::client_name(address)
    }
}

impl sealed::Accept for UnixListener {
    type Stream = UnixStream;
    type Address = unix::SocketAddr;

    fn accept_now(&self) -> io::Result<(UnixStream, unix::SocketAddr)> {
        let (stream, address) = self.accept()?;
        stream.set_nonblocking(false)?;
        Ok((stream, address))
    }

    fn never_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
    }

    fn own_address(&self) -> Option<String> {
        Some(self.local_addr().ok()?.as_pathname()?.display().to_string())
    }

    fn client_name(_: &unix::SocketAddr) -> Option<String> {
        None
    }
}

impl StopToken {
    /// Accepts a connection, or returns when a stop is requested. Feature `io`.
    ///
    /// The stop does not close the listener or drop its waiting connections, so a service that is restarted can continue to
    /// use it. The first call makes the listener non-blocking, because a client may disconnect between the wait and the
    /// accept. The accepted streams are blocking.
    ///
    /// In a loop, use [`incoming`](Self::incoming). If the process has no descriptor left, `incoming` pauses, but this
    /// function returns an error at once.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let stop = StopSource::new();
    /// let client = TcpStream::connect(listener.local_addr()?)?;
    /// let (_, address) = stop.token().accept(&listener)?;
    /// assert_eq!(address, client.local_addr()?);
    /// stop.request_stop();
    /// assert!(stop.token().accept(&listener).is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// - Returns [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`](crate::Stopped) as its inner error if
    ///   a stop was requested, and in no other case.
    /// - Returns the error of the system if `accept` fails, or if no descriptor is left for the token.
    pub fn accept<L: Listener>(&self, listener: &L) -> io::Result<(L::Stream, L::Address)> {
        listener.never_block()?;
        loop {
            ready(self, listener.as_fd(), PollFlags::IN, None)?;
            match listener.accept_now() {
                // Another thread accepted the connection, or the client has disconnected.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {}
                done => return done,
            }
        }
    }
}
