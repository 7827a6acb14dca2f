//! Accepting connections until the stop.

use super::ready::ready;
use crate::stop::StopToken;
use rustix::event::PollFlags;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::{self as unix, UnixListener, UnixStream};

/// What [`StopToken::accept`] takes: a [`TcpListener`] or a [`UnixListener`].
pub trait Listener: AsFd + sealed::Accept {}

impl Listener for TcpListener {}
impl Listener for UnixListener {}

mod sealed {
    use std::io;

    pub trait Accept {
        type Stream;
        type Address;
        fn accept_now(&self) -> io::Result<(Self::Stream, Self::Address)>;
        fn never_block(&self) -> io::Result<()>;
    }
}

impl sealed::Accept for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    fn accept_now(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.accept()?;
        stream.set_nonblocking(false)?; // which some systems hand down
        Ok((stream, address))
    }

    fn never_block(&self) -> io::Result<()> {
        self.set_nonblocking(true)
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
}

impl StopToken {
    /// Accepts a connection. A stop ends the wait.
    ///
    /// The listener survives the stop, with the connections that wait in it: a service that is restarted goes on with it.
    /// The first call makes the listener non-blocking, because a client may vanish between the wait for it and the accept.
    /// The streams block as usual.
    ///
    /// In a loop, use [`incoming`](Self::incoming): it pauses if there is no descriptor remaining, where this fails at once.
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
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) with [`Stopped`](crate::Stopped) inside once a stop is requested, and
    /// only then. Otherwise what `accept` returns; also the system's error if there is no descriptor left for the token.
    pub fn accept<L: Listener>(&self, listener: &L) -> io::Result<(L::Stream, L::Address)> {
        listener.never_block()?;
        loop {
            ready(self, listener.as_fd(), PollFlags::IN, None)?;
            match listener.accept_now() {
                // Another thread had it, or the client has gone.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted) => {}
                done => return done,
            }
        }
    }
}
