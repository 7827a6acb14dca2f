//! Several readers of one stream.

#![cfg(target_os = "linux")]

use crate::support::sockets::{connected, is_stopped, pipe};
use crate::support::{Sleeper, asleep_in, in_time};
use hosted::{StopSource, StopToken};
use rustix::io::{ReadWriteFlags, preadv2};
use rustix::net::RecvFlags;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{hint, thread};

const READERS: usize = 8;
const ROUNDS: usize = 20;

/// A writer, and the reads of each reader from the other end until an error.
type Shared = (Box<dyn Write>, Arc<dyn Fn() -> io::Error + Send + Sync>);

/// Reads until there is an error.
fn until_error(mut stream: impl Read) -> io::Error {
    loop {
        match stream.read(&mut [0; 8]) {
            Ok(0) => return ErrorKind::UnexpectedEof.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

/// A type that the library does not know.
struct Unknown<S>(S);

impl<S: AsFd> AsFd for Unknown<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<'a, S> Read for &'a Unknown<S>
where
    &'a S: Read,
{
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(into)
    }
}

/// A terminal: bytes that are written to the first end can be read at the second.
fn terminal() -> (File, File) {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    let here = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&here).and_then(|()| unlockpt(&here)).unwrap();
    let there = ioctl_tiocgptpeer(&here, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    (here.into(), there.into())
}

fn share<S>(token: &StopToken, (into, stream): (impl Write + 'static, S)) -> Shared
where
    S: AsFd + Send + Sync + 'static,
    for<'a> &'a S: Read,
{
    let stream = token.interruptible(stream);
    (Box::new(into), Arc::new(move || until_error(&stream)))
}

/// A name, and a function that creates the stream.
type Kind = (&'static str, fn(&StopToken) -> Shared);

const KINDS: &[Kind] = &[
    ("TCP", |token| share::<TcpStream>(token, connected())),
    ("a Unix socket", |token| share::<UnixStream>(token, UnixStream::pair().unwrap())),
    ("a pipe", |token| {
        let (from, into) = pipe();
        share::<File>(token, (into, from))
    }),
    ("a terminal", |token| share::<File>(token, terminal())),
    ("a type that the library does not know", |token| {
        let (here, there) = connected();
        share::<Unknown<TcpStream>>(token, (here, Unknown(there)))
    }),
    ("a socket, each with its own `Interruptible`", |token| {
        let ((here, there), token) = (connected(), token.clone());
        (Box::new(here), Arc::new(move || until_error(token.interruptible::<&TcpStream>(&there))))
    }),
    ("a pipe, each with its own `Interruptible`", |token| {
        let ((from, into), token) = (pipe(), token.clone());
        (Box::new(into), Arc::new(move || until_error(token.interruptible::<&File>(&from))))
    }),
    ("clones", |token| {
        let (here, there) = connected();
        let shared: &'static Unknown<_> = Box::leak(Box::new(Unknown(there)));
        let stream = token.interruptible(shared);
        (Box::new(here), Arc::new(move || until_error(stream.clone())))
    }),
];

// 100
#[test]
fn every_reader_of_a_shared_stream_returns_at_the_stop() {
    for &(name, make) in KINDS {
        for _ in 0..ROUNDS {
            let source = StopSource::new();
            let (mut peer, read) = make(&source.token());
            let readers: Vec<_> = (0..READERS)
                .map(|_| {
                    let read = read.clone();
                    asleep_in(move || is_stopped(&read()))
                })
                .collect();
            for _ in 0..3 {
                // One byte for all readers. (A terminal needs a whole line.)
                peer.write_all(b"\n").unwrap();
                readers.iter().for_each(Sleeper::fall_asleep);
            }
            source.request_stop();
            assert_eq!(readers.iter().map(Sleeper::result).collect::<Vec<_>>(), [true; READERS], "{name}");
        }
    }
}

/// Takes all available bytes without waiting, as another process may.
type Thief = Box<dyn Fn() + Send>;

// 100
#[test]
fn a_reader_returns_at_the_stop_even_if_another_process_takes_its_bytes() {
    let socket = || -> (Box<dyn Write>, Box<dyn Read + Send>, Thief, StopSource) {
        let ((here, there), source) = (connected(), StopSource::new());
        let thief = there.try_clone().unwrap();
        let steal = move || _ = rustix::net::recv(&thief, &mut [0; 8], RecvFlags::DONTWAIT);
        (Box::new(here), Box::new(source.token().interruptible(there)), Box::new(steal), source)
    };
    let pipe = || -> (Box<dyn Write>, Box<dyn Read + Send>, Thief, StopSource) {
        let ((from, into), source) = (pipe(), StopSource::new());
        let thief = from.try_clone().unwrap();
        let steal = move || {
            _ = preadv2(&thief, &mut [IoSliceMut::new(&mut [0; 8])], u64::MAX, ReadWriteFlags::NOWAIT);
        };
        (Box::new(into), Box::new(source.token().interruptible(from)), Box::new(steal), source)
    };
    for round in 0..2 * ROUNDS {
        let (mut into, stream, steal, source) = if round % 2 == 0 { socket() } else { pipe() };
        let reader = asleep_in(move || is_stopped(&until_error(stream)));
        let over = Arc::new(AtomicBool::new(false));
        let stealing = over.clone();
        let steals = thread::spawn(move || {
            while !stealing.load(Ordering::Relaxed) {
                steal();
            }
        });
        for n in 0..500 {
            into.write_all(b"x").unwrap();
            (0..n).for_each(|_| hint::spin_loop());
        }
        source.request_stop();
        assert!(reader.result());
        over.store(true, Ordering::Relaxed);
        steals.join().unwrap();
    }
}

/// A stream whose bytes another reader takes just before each read.
struct Robbed {
    stream: UnixStream,
    /// How often that has happened.
    robbed: Arc<AtomicUsize>,
    /// How often it must happen.
    times: usize,
}

impl AsFd for Robbed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Read for &Robbed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.robbed.load(Ordering::SeqCst) < self.times {
            _ = rustix::net::recv(&self.stream, &mut [0; 8], RecvFlags::DONTWAIT);
            self.robbed.fetch_add(1, Ordering::SeqCst);
        }
        (&self.stream).read(into)
    }
}

fn robbed(times: usize, blocking: bool) -> (UnixStream, Robbed, Arc<AtomicUsize>) {
    let (here, stream) = UnixStream::pair().unwrap();
    stream.set_nonblocking(!blocking).unwrap();
    let robbed = Arc::new(AtomicUsize::new(0));
    (here, Robbed { stream, robbed: robbed.clone(), times }, robbed)
}

/// Waits for an event that another thread causes.
fn until(what: impl Fn() -> bool + Send + 'static) {
    in_time(move || {
        while !what() {
            thread::yield_now();
        }
    });
}

#[test]
fn a_non_blocking_stream_waits_again_if_its_bytes_were_taken() {
    let (mut here, stream, robbed) = robbed(2, false);
    let source = StopSource::new();
    let stream = source.token().interruptible(stream);
    let reader = asleep_in(move || {
        let mut bytes = [0; 8];
        let length = (&stream).read(&mut bytes).unwrap();
        (bytes[..length].to_vec(), is_stopped(&(&stream).read(&mut bytes).unwrap_err()))
    });
    for n in 1..=2 {
        here.write_all(b"x").unwrap();
        let robbed = robbed.clone();
        until(move || robbed.load(Ordering::SeqCst) == n);
        reader.fall_asleep();
    }
    here.write_all(b"y").unwrap();
    reader.fall_asleep();
    source.request_stop();
    assert_eq!(reader.result(), (b"y".to_vec(), true));
}

#[test]
fn a_reader_blocked_in_its_read_delays_no_other_reader() {
    let (mut here, stream, robbed) = robbed(1, true);
    let source = StopSource::new();
    let stream: &'static _ = Box::leak(Box::new(stream));
    let mut shared = source.token().interruptible(stream);
    let caught = shared.clone();
    let caught = asleep_in(move || { caught }.read(&mut [0; 8]).unwrap());
    here.write_all(b"x").unwrap();
    until(move || robbed.load(Ordering::SeqCst) == 1);
    let waits = shared.clone();
    let waits = asleep_in(move || is_stopped(&{ waits }.read(&mut [0; 8]).unwrap_err()));
    shared.set_read_timeout(Duration::from_millis(5));
    let error = in_time(move || shared.read(&mut [0; 8]).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(waits.result_so_far().is_none());
    source.request_stop();
    assert!(waits.result());
    here.write_all(b"y").unwrap(); // the documented limit: only bytes end a read of a blocking stream of an unknown type
    assert_eq!(caught.result(), 1);
}

#[test]
fn a_read_of_a_stream_that_is_ready_but_always_would_block_ends_at_the_stop() {
    struct Refusing(UnixStream, Arc<AtomicUsize>);
    impl AsFd for Refusing {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Read for Refusing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            self.1.fetch_add(1, Ordering::SeqCst);
            Err(ErrorKind::WouldBlock.into())
        }
    }
    let ((mut here, there), refused, source) =
        (UnixStream::pair().unwrap(), Arc::new(AtomicUsize::new(0)), StopSource::new());
    here.write_all(b"x").unwrap();
    let mut stream = source.token().interruptible(Refusing(there, refused.clone()));
    let reader = asleep_in(move || is_stopped(&stream.read(&mut [0]).unwrap_err()));
    until(move || refused.load(Ordering::SeqCst) > 30); // the read is tried again, with pauses
    source.request_stop();
    assert!(reader.result());
}

#[test]
fn a_type_that_is_not_a_plain_descriptor_is_read_by_its_own_read() {
    struct Shouting(UnixStream);
    impl AsFd for Shouting {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Read for Shouting {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let length = self.0.read(into)?;
            into[..length].make_ascii_uppercase();
            Ok(length)
        }
    }
    let (mut here, there) = UnixStream::pair().unwrap();
    let mut stream = StopSource::new().token().interruptible(Shouting(there));
    let mut text = [0; 4];
    here.write_all(b"tea").unwrap();
    assert_eq!(stream.read(&mut text).unwrap(), 3);
    here.write_all(b"!x").unwrap();
    let mut more = [0; 2];
    assert_eq!(stream.read_vectored(&mut [IoSliceMut::new(&mut more)]).unwrap(), 2);
    assert_eq!((&text[..3], &more), (&b"TEA"[..], b"!X"));
}

#[test]
fn a_read_that_panics_leaves_the_stream_to_the_other_readers() {
    struct Panicking(UnixStream, AtomicBool);
    impl AsFd for Panicking {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    impl Read for &Panicking {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            assert!(self.1.swap(true, Ordering::SeqCst), "the read blocks as the test requests");
            (&self.0).read(into)
        }
    }
    let (mut here, there) = UnixStream::pair().unwrap();
    here.write_all(b"x").unwrap();
    let source = StopSource::new();
    let stream = Arc::new(source.token().interruptible(Panicking(there, AtomicBool::new(false))));
    let panicking = stream.clone();
    thread::spawn(move || (&*panicking).read(&mut [0])).join().unwrap_err();
    assert_eq!(in_time(move || (&*stream).read(&mut [0]).unwrap()), 1);
}

#[test]
fn a_vectored_read_of_a_socket_or_pipe_skips_buffers_without_room() {
    let (mut here, there) = connected();
    let (from, mut into) = pipe();
    let source = StopSource::new();
    here.write_all(b"tea").unwrap();
    into.write_all(b"tea").unwrap();
    let streams: [Box<dyn Read + Send>; 2] =
        [Box::new(source.token().interruptible(there)), Box::new(source.token().interruptible(from))];
    for mut stream in streams {
        let (text, length) = in_time(move || {
            let mut text = [0; 3];
            let length = stream.read_vectored(&mut [IoSliceMut::new(&mut []), IoSliceMut::new(&mut text)]).unwrap();
            (text, length)
        });
        assert_eq!((&text, length), (b"tea", 3));
    }
}

#[test]
fn a_socket_in_a_file_is_read_until_the_stop() {
    let (mut here, there) = UnixStream::pair().unwrap();
    let source = StopSource::new();
    let mut socket = source.token().interruptible(File::from(OwnedFd::from(there)));
    here.write_all(b"x").unwrap();
    let reader = asleep_in(move || (socket.read(&mut [0]).unwrap(), is_stopped(&socket.read(&mut [0]).unwrap_err())));
    source.request_stop();
    assert_eq!(reader.result(), (1, true));
}
