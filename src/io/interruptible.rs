//! `Interruptible`: a stream whose reads end at the stop.

use super::reading::Reading;
use crate::stop::StopToken;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

impl StopToken {
    /// Wraps a stream so that its reads end when a stop is requested. Feature `io`.
    ///
    /// Writes still work after the stop, because the protocol may need a closing message. A peer that does not read can block
    /// a write, even after the stop, so set a write timeout on the stream.
    ///
    /// The stream must have a descriptor: a [`TcpStream`](std::net::TcpStream), a
    /// [`UnixStream`](std::os::unix::net::UnixStream), a pipe, a terminal or a serial port. Code that is generic over
    /// `Read + Write` (TLS, WebSocket, HTTP) works with the wrapped stream, and can close its protocol after the stop.
    ///
    /// Do not wrap a stream that reads ahead, because its buffer is not visible to `poll`. For the standard input, use its
    /// descriptor instead of `io::stdin()`: `File::from(io::stdin().as_fd().try_clone_to_owned()?)`.
    ///
    /// # Several readers
    ///
    /// Several threads or processes may read the same stream. If another reader takes the bytes first, a read waits for more
    /// bytes, and still ends at the stop. This holds in the following cases:
    ///
    /// | if the stream is | then the other reader may be |
    /// |---|---|
    /// | a `TcpStream`, a `UnixStream`, or a reference to one | anything: another `Interruptible`, another handle, another process |
    /// | a `File`, `ChildStdout` or `ChildStderr` of a pipe (Linux 6.4) | anything |
    /// | non-blocking, of any type | anything |
    /// | of any other kind: a terminal, your own type | the same `Interruptible`, by reference or by clone |
    ///
    /// **Limitation**: in one case, a read may not end at the stop. The stream is a blocking terminal or your own blocking
    /// type, and the other reader is another process, or a thread that does not use this `Interruptible`. If that reader takes
    /// the bytes between the wait and the read, the read blocks until more bytes come. To avoid this, open a separate
    /// non-blocking descriptor: open `/dev/tty` or the serial port with `O_NONBLOCK`.
    pub fn interruptible<S>(&self, stream: S) -> Interruptible<S> {
        Interruptible { stream, reading: Reading::new::<S>(self.clone()) }
    }
}

/// A stream whose reads end when a stop is requested. Created by [`StopToken::interruptible`].
///
/// A read that begins after the stop request, or is waiting when it comes, fails with
/// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted), and with [`Stopped`](crate::Stopped) as the inner error. A service
/// that returns this error through `?` stops cleanly. Writes still work after the stop request.
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
///     let error = stream.read_to_string(&mut text).unwrap_err(); // the peer does not close the stream
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

    /// Returns a reference to the wrapped stream. Its own reads do not end at the stop.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Returns a mutable reference to the wrapped stream. Its own reads do not end at the stop.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Returns the wrapped stream.
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
