//! A stream whose reads end at the stop.

use super::ready::ready;
use crate::stop::StopToken;
use crate::sync::deadline;
use rustix::event::PollFlags;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

impl StopToken {
    /// Wraps a stream so that its reads end at the stop. Writes go on: there is somebody to say goodbye to. (One whose peer does
    /// not read waits for it, also after the stop: give the stream a write timeout.)
    ///
    /// For whatever has a descriptor: a [`TcpStream`](std::net::TcpStream), a [`UnixStream`](std::os::unix::net::UnixStream), a
    /// pipe, a terminal, a serial port. What is generic over `Read + Write` (TLS, WebSocket, HTTP) works on it, and can close its
    /// protocol after the stop. Of the standard input take the descriptor (`File::from(io::stdin().as_fd().try_clone_to_owned()?)`):
    /// `io::stdin()` itself reads ahead.
    pub fn interruptible<S>(&self, stream: S) -> Interruptible<S> {
        Interruptible { stream, token: self.clone(), timeout: None }
    }
}

/// A stream whose reads end at the stop, while its writes go on. From [`StopToken::interruptible`].
///
/// A read that comes after the stop, or is waiting at that moment, fails with
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted) and [`Stopped`](crate::Stopped) inside: through `?` the clean end of a
/// service.
///
/// ```
/// use hosted::StopSource;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
///
/// # fn main() -> std::io::Result<()> {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// let stop = StopSource::new();
/// let mut stream = stop.token().interruptible(ours);
/// let reader = std::thread::spawn(move || {
///     let mut text = String::new();
///     let error = stream.read_to_string(&mut text).unwrap_err(); // nobody closes it
///     assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
///     stream.write_all(b"goodbye")
/// });
/// stop.request_stop();
/// reader.join().unwrap()?;
/// let mut text = String::new();
/// theirs.read_to_string(&mut text)?;
/// assert_eq!(text, "goodbye");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Interruptible<S> {
    stream: S,
    token: StopToken,
    timeout: Option<Duration>,
}

impl<S> Interruptible<S> {
    /// How long a read waits for data, before it fails with [`TimedOut`](io::ErrorKind::TimedOut): a [`Duration`], or `None` for
    /// as long as it takes. A timeout that the stream itself was given has no effect: this is waited first.
    pub fn set_read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.timeout = timeout.into();
    }

    /// The stream itself, whose own reads do not end at the stop.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// The stream itself, whose own reads do not end at the stop.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The stream again.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsFd> Interruptible<S> {
    fn wait(&self) -> io::Result<()> {
        if ready(&self.token, self.stream.as_fd(), PollFlags::IN, self.timeout.and_then(deadline))? {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came to read in time"))
    }
}

impl<S: AsFd> AsFd for Interruptible<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: Read + AsFd> Read for Interruptible<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        self.stream.read(into)
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.wait()?;
        self.stream.read_vectored(into)
    }
}

impl<'a, S: AsFd> Read for &'a Interruptible<S>
where
    &'a S: Read,
{
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.wait()?;
        (&self.stream).read(into)
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.wait()?;
        (&self.stream).read_vectored(into)
    }
}

impl<S: Write> Write for Interruptible<S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.write(from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl<'a, S> Write for &'a Interruptible<S>
where
    &'a S: Write,
{
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        (&self.stream).write(from)
    }

    fn write_vectored(&mut self, from: &[IoSlice<'_>]) -> io::Result<usize> {
        (&self.stream).write_vectored(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.stream).flush()
    }
}
