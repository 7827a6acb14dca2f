//! The reads of an `Interruptible`: they wait for data or the stop, and then never block.
//!
//! If `poll` reports a descriptor as readable, the data is not reserved. Another reader may take the bytes first, and a
//! blocking read would then not end at the stop. Two mechanisms prevent this:
//!
//! - A read that never blocks. It uses only the descriptor, so it is for types whose `Read` does nothing else. It works
//!   against every other reader, even in other processes.
//! - A read lock, for all other types, and for descriptors that do not support such a read. Among the users of one
//!   `Interruptible`, only the holder of the read lock waits and reads. The others wait for the read lock or the stop.

use super::ready::{check, ready, stopped};
use crate::diagnose::{Waits, waiting};
use crate::stop::StopToken;
use crate::util::sync::{Arc, OnceLock};
use crate::util::time::deadline;
use crossbeam_channel::{Receiver, Sender, at, bounded, never, select_biased};
use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::any::type_name;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{ChildStderr, ChildStdout};
use std::time::{Duration, Instant};

/// How many reads in a row may find no data although the descriptor was readable. Before each further read, the reader
/// pauses for `EMPTY_READ_PAUSE`. It is unlikely that other readers are faster every time. The stream probably returns
/// `WouldBlock` for another reason, which waiting for the descriptor does not change. Without a pause, that is a busy loop.
const MAX_EMPTY_READS: u32 = 16;
const EMPTY_READ_PAUSE: Duration = Duration::from_millis(1);

/// The way in which the reads of one `Interruptible` are made. Clones share the read lock.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    token: StopToken,
    pub(super) timeout: Option<Duration>,
    kind: StreamKind,
    /// Created by the first read that needs it.
    lock: Arc<OnceLock<ReadLock>>,
}

/// What the type of a stream says about its `Read`.
#[derive(Clone, Copy, Debug)]
enum StreamKind {
    /// `Read` is a plain read of a socket.
    Socket,
    /// `Read` is a plain read of the descriptor of a pipe, a terminal, a file or a device.
    File,
    /// The type may have a buffer or a protocol, so its own `Read` must be used.
    Other,
}

impl StreamKind {
    /// Recognises a type by its name, because Rust has no specialisation. All names come from the same compiler, so their
    /// format does not matter. No other package can have a type with the name of a standard library type.
    fn of<S>() -> Self {
        let name = type_name::<S>();
        let is = |names: &[&str]| names.contains(&name);
        if is(&[type_name::<TcpStream>(), type_name::<UnixStream>()])
            || is(&[type_name::<&TcpStream>(), type_name::<&UnixStream>()])
        {
            StreamKind::Socket
        } else if is(&[type_name::<File>(), type_name::<&File>(), type_name::<Arc<File>>()])
            || is(&[type_name::<ChildStdout>(), type_name::<ChildStderr>()])
        {
            StreamKind::File
        } else {
            StreamKind::Other
        }
    }

    /// Reads without blocking. Returns `None` if the type or the descriptor does not support such a read.
    fn read(self, fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> Option<io::Result<usize>> {
        match self {
            StreamKind::Socket => Some(receive(fd, into)),
            StreamKind::File => read_now(fd, into),
            StreamKind::Other => None,
        }
    }
}

/// Receives into the first buffer that is not empty. A read is allowed to return fewer bytes than are available.
fn receive(fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let first = into.iter_mut().find(|buffer| !buffer.is_empty());
    let buffer: &mut [u8] = first.map_or(&mut [], |buffer| buffer);
    Ok(recv(fd, buffer, RecvFlags::DONTWAIT)?.1)
}

#[cfg(target_os = "linux")]
fn read_now(fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> Option<io::Result<usize>> {
    use rustix::io::{ReadWriteFlags, preadv2};
    const CURRENT_OFFSET: u64 = u64::MAX;
    match preadv2(fd, into, CURRENT_OFFSET, ReadWriteFlags::NOWAIT) {
        // The data must be read from the disk first. No other reader can take it away, so a plain read is safe.
        Err(Errno::AGAIN) if is_on_disk(fd) => None,
        Err(Errno::AGAIN) => Some(Err(ErrorKind::WouldBlock.into())),
        Ok(length) => Some(Ok(length)),
        // The call does not work for a terminal, on an old kernel, or in some sandboxes. If the error has another reason, the
        // plain read returns it too.
        Err(_) => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn read_now(_: BorrowedFd<'_>, _: &mut [IoSliceMut<'_>]) -> Option<io::Result<usize>> {
    None
}

#[cfg(target_os = "linux")]
fn is_on_disk(fd: BorrowedFd<'_>) -> bool {
    use rustix::fs::{FileType, fstat};
    let kind = fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
    kind.is_ok_and(|kind| matches!(kind, FileType::RegularFile | FileType::BlockDevice))
}

impl Reading {
    pub(super) fn new<S>(token: StopToken) -> Self {
        Reading { token, timeout: None, kind: StreamKind::of::<S>(), lock: Arc::default() }
    }

    /// Waits until the stream is readable, and reads. Uses `own_read` if the stream does not support a read that never blocks.
    ///
    /// # Errors
    ///
    /// Returns the error of a stop, `TimedOut` after the read timeout, or the error of the read.
    pub(super) fn read<S: AsFd>(
        &self,
        stream: &mut S,
        into: &mut [IoSliceMut<'_>],
        mut own_read: impl FnMut(&mut S, &mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let until = self.timeout.and_then(deadline);
        let mut empty_reads = 0;
        // If an earlier read needed the read lock, this one needs it too.
        let mut needs_lock = matches!(self.kind, StreamKind::Other) || self.lock.get().is_some();
        loop {
            let guard = needs_lock.then(|| self.lock(until)).transpose()?;
            if !ready(&self.token, stream.as_fd(), PollFlags::IN, until)? {
                return Err(timed_out());
            }
            let read = match &guard {
                Some(_) => own_read(stream, into),
                None => match self.kind.read(stream.as_fd(), into) {
                    Some(read) => read,
                    None => {
                        needs_lock = true;
                        continue;
                    }
                },
            };
            match read {
                // Another reader was faster.
                Err(error) if error.kind() == ErrorKind::WouldBlock => empty_reads += 1,
                read => return read,
            }
            drop(guard);
            if empty_reads > MAX_EMPTY_READS && self.token.wait_timeout(EMPTY_READ_PAUSE) {
                return Err(stopped());
            }
        }
    }

    /// Waits for the read lock, until `until` or the stop.
    fn lock(&self, until: Option<Instant>) -> io::Result<ReadGuard<'_>> {
        check(&self.token)?;
        let lock = self.lock.get_or_init(ReadLock::new);
        if lock.free.try_recv().is_ok() {
            return Ok(ReadGuard(lock)); // no other thread holds the lock
        }
        let _waiting = waiting(Waits::Turn, until);
        let timeout = until.map_or_else(never, at);
        select_biased! {
            recv(self.token.done()) -> _ => Err(stopped()),
            recv(lock.free) -> _ => Ok(ReadGuard(lock)),
            recv(timeout) -> _ => Err(timed_out()),
        }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "read timed out")
}

/// A lock that a thread can wait for together with the stop: a channel whose only message is the right to read.
#[derive(Debug)]
struct ReadLock {
    free: Receiver<()>,
    release: Sender<()>,
}

impl ReadLock {
    fn new() -> Self {
        let (release, free) = bounded(1);
        let lock = ReadLock { free, release };
        drop(ReadGuard(&lock)); // sends the message
        lock
    }
}

/// The guard of the read lock. Its drop releases the lock, even after a panic of the stream's own `Read`.
struct ReadGuard<'l>(&'l ReadLock);

impl Drop for ReadGuard<'_> {
    fn drop(&mut self) {
        // The send cannot fail: the channel has room, because the message was taken out, and its receiver is alive.
        _ = self.0.release.try_send(());
    }
}
