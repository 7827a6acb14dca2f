//! Accepting connections until the stop.

use super::ready::{is_stopped, ready};
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
    /// Accepts a connection, until the stop.
    ///
    /// The listener survives the stop, with the connections that wait in it: a service that is restarted goes on with it.
    /// From the first call on it is non-blocking, because a client may vanish between the wait for it and the accept;
    /// the streams block as usual.
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
    /// only then; else what `accept` says.
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

    /// Connections as they come, until the stop: then the iterator ends.
    ///
    /// An error that is not the stop's is an item, as with [`TcpListener::incoming`], and the next one may be a connection again.
    pub fn incoming<L: Listener>(&self, listener: &L) -> impl Iterator<Item = io::Result<L::Stream>> {
        std::iter::from_fn(move || match self.accept(listener) {
            Err(error) if is_stopped(&error) => None,
            done => Some(done.map(|(stream, _)| stream)),
        })
    }
}
