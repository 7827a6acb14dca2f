//! A stream whose reads end at the stop.

use super::reading::Reading;
use crate::stop::StopToken;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

impl StopToken {
    /// Wraps a stream so that its reads end at the stop. Writes go on: the peer may be waiting for a goodbye. (A peer that
    /// does not read holds up a write, also after the stop: give the stream a write timeout.)
    ///
    /// For streams that have a descriptor: a [`TcpStream`](std::net::TcpStream), a
    /// [`UnixStream`](std::os::unix::net::UnixStream), a pipe, a terminal, a serial port. Code that is generic over
    /// `Read + Write` (TLS, WebSocket, HTTP) works on it, and can close its protocol after the stop. Do not wrap a stream
    /// that reads ahead: what is in its buffer cannot be waited for. So of the standard input take the descriptor, not
    /// `io::stdin()`: `File::from(io::stdin().as_fd().try_clone_to_owned()?)`.
    ///
    /// # Several readers
    ///
    /// Several threads may read one stream, and so may several processes. A reader whose bytes another reader took waits
    /// on, and returns at the stop:
    ///
    /// | the stream is | also if the other reader is |
    /// |---|---|
    /// | a `TcpStream`, a `UnixStream`, or a reference to one | anything: another `Interruptible`, another handle, another process |
    /// | a `File`, `ChildStdout` or `ChildStderr` of a pipe (Linux 6.4) | the same |
    /// | non-blocking, whatever its type | the same |
    /// | anything else: a terminal, a type of your own | the same `Interruptible`, by reference or by clone |
    ///
    /// **What remains impossible**: a blocking terminal or a blocking type of your own, which another process reads too (a
    /// child that inherited the standard input, say), or another thread without this `Interruptible`. If that reader takes
    /// the bytes between the wait and the read, the read waits for more, and does not hear the stop until they come. The
    /// remedy is a descriptor of its own that is non-blocking: open `/dev/tty` or the port with `O_NONBLOCK`.
    pub fn interruptible<S>(&self, stream: S) -> Interruptible<S> {
        Interruptible { stream, reading: Reading::new::<S>(self.clone()) }
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
    reading: Reading,
}

impl<S> Interruptible<S> {
    /// Sets how long a read waits for data before it fails with [`TimedOut`](io::ErrorKind::TimedOut): a [`Duration`], or
    /// `None` for no limit. A read timeout of the stream itself has no effect.
    pub fn set_read_timeout(&mut self, timeout: impl Into<Option<Duration>>) {
        self.reading.timeout = timeout.into();
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

impl<S: AsFd> AsFd for Interruptible<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl<S: Read + AsFd> Read for Interruptible<S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let into = &mut [IoSliceMut::new(into)];
        self.reading.read(&mut self.stream, into, |stream, into| stream.read(&mut into[0]))
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.reading.read(&mut self.stream, into, |stream, into| stream.read_vectored(into))
    }
}

impl<'a, S: AsFd> Read for &'a Interruptible<S>
where
    &'a S: Read,
{
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let into = &mut [IoSliceMut::new(into)];
        self.reading.read(&mut &self.stream, into, |stream, into| stream.read(&mut into[0]))
    }

    fn read_vectored(&mut self, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.reading.read(&mut &self.stream, into, |stream, into| stream.read_vectored(into))
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
