//! Reading without being caught in the read: the wait, the turn, and reads that never block.
//!
//! That `poll` calls a descriptor readable reserves nothing: another reader may take the bytes before the read, which
//! then blocks and does not hear the stop. Two things prevent that.
//!
//! - A read that never blocks. It needs the descriptor alone, so it is for types that are known to be bare descriptors.
//!   It holds against every other reader, in other processes too.
//! - A turn, for all other types, and for descriptors that know no such read. Of the sharers of one `Interruptible` only
//!   the holder of the turn waits and reads. The others wait for the turn or the stop.

use super::ready::{check, ready, stopped};
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

/// After so many reads in a row that found nothing though the descriptor was readable, each further one is preceded by a
/// `PAUSE`. Other readers that are always faster are unlikely. More likely the stream refuses for a reason of its own,
/// which no wait for the descriptor ends: without a pause that is a loop at full speed.
const IN_VAIN: u32 = 16;
const PAUSE: Duration = Duration::from_millis(1);

/// How the reads of one `Interruptible` are made. Clones share the turn.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    token: StopToken,
    pub(super) timeout: Option<Duration>,
    bare: Bare,
    /// Made by the first read that needs it.
    turn: Arc<OnceLock<Turn>>,
}

/// What is known of the stream's type: whether its `Read` is nothing but a read of its descriptor.
#[derive(Clone, Copy, Debug)]
enum Bare {
    Socket,
    /// Of a pipe, a terminal, a file, a device.
    File,
    /// It may have a buffer, a protocol, a count: it must be read by its own `Read`.
    Unknown,
}

impl Bare {
    /// By the type's name, as there is no specialisation. Both names come from the same compiler, so their form does not
    /// matter; and no other package can have a type of the standard library's name.
    fn of<S>() -> Self {
        let name = type_name::<S>();
        let is = |names: &[&str]| names.contains(&name);
        if is(&[type_name::<TcpStream>(), type_name::<UnixStream>()])
            || is(&[type_name::<&TcpStream>(), type_name::<&UnixStream>()])
        {
            Bare::Socket
        } else if is(&[type_name::<File>(), type_name::<&File>(), type_name::<Arc<File>>()])
            || is(&[type_name::<ChildStdout>(), type_name::<ChildStderr>()])
        {
            Bare::File
        } else {
            Bare::Unknown
        }
    }

    /// Reads without blocking. `None`: this type or descriptor knows no such read.
    fn read(self, fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> Option<io::Result<usize>> {
        match self {
            Bare::Socket => Some(receive(fd, into)),
            Bare::File => read_now(fd, into),
            Bare::Unknown => None,
        }
    }
}

/// Into the first buffer that has room: a read may read less than it could.
fn receive(fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let first = into.iter_mut().find(|buffer| !buffer.is_empty());
    let buffer: &mut [u8] = first.map_or(&mut [], |buffer| buffer);
    Ok(recv(fd, buffer, RecvFlags::DONTWAIT)?.1)
}

#[cfg(target_os = "linux")]
fn read_now(fd: BorrowedFd<'_>, into: &mut [IoSliceMut<'_>]) -> Option<io::Result<usize>> {
    use rustix::io::{ReadWriteFlags, preadv2};
    const FROM_WHERE_IT_IS: u64 = u64::MAX;
    match preadv2(fd, into, FROM_WHERE_IT_IS, ReadWriteFlags::NOWAIT) {
        // A file whose contents are on the disk: nobody can take them away.
        Err(Errno::AGAIN) if is_on_disk(fd) => None,
        Err(Errno::AGAIN) => Some(Err(ErrorKind::WouldBlock.into())),
        Ok(length) => Some(Ok(length)),
        // Of a terminal, of an old kernel, or forbidden. If it is a true error, the plain read returns it too.
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
        Reading { token, timeout: None, bare: Bare::of::<S>(), turn: Arc::default() }
    }

    /// Waits until there is something to read, and reads it, by `own` if there is no read that never blocks.
    pub(super) fn read<S: AsFd>(
        &self,
        stream: &mut S,
        into: &mut [IoSliceMut<'_>],
        mut own: impl FnMut(&mut S, &mut [IoSliceMut<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let until = self.timeout.and_then(deadline);
        let mut in_vain = 0;
        // Known to be needed if an earlier read needed it.
        let mut takes_turns = matches!(self.bare, Bare::Unknown) || self.turn.get().is_some();
        loop {
            let turn = takes_turns.then(|| self.turn(until)).transpose()?;
            if !ready(&self.token, stream.as_fd(), PollFlags::IN, until)? {
                return Err(too_late());
            }
            let read = match &turn {
                Some(_) => own(stream, into),
                None => match self.bare.read(stream.as_fd(), into) {
                    Some(read) => read,
                    None => {
                        takes_turns = true;
                        continue;
                    }
                },
            };
            match read {
                // Another reader was faster.
                Err(error) if error.kind() == ErrorKind::WouldBlock => in_vain += 1,
                read => return read,
            }
            drop(turn);
            if in_vain > IN_VAIN && self.token.wait_timeout(PAUSE) {
                return Err(stopped());
            }
        }
    }

    /// Waits until it is this reader's turn.
    fn turn(&self, until: Option<Instant>) -> io::Result<Held<'_>> {
        check(&self.token)?;
        let turn = self.turn.get_or_init(Turn::new);
        if turn.free.try_recv().is_ok() {
            return Ok(Held(turn)); // nobody else reads
        }
        let over = until.map_or_else(never, at);
        select_biased! {
            recv(self.token.done()) -> _ => Err(stopped()),
            recv(turn.free) -> _ => Ok(Held(turn)),
            recv(over) -> _ => Err(too_late()),
        }
    }
}

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "nothing to read came within the read timeout")
}

/// A lock that can be waited for together with the stop: a channel whose one message is the right to read.
#[derive(Debug)]
struct Turn {
    free: Receiver<()>,
    back: Sender<()>,
}

impl Turn {
    fn new() -> Self {
        let (back, free) = bounded(1);
        let turn = Turn { free, back };
        drop(Held(&turn)); // which puts the message in
        turn
    }
}

/// The turn of one reader. Ends when it is dropped, also by a panic of the stream's own `Read`.
struct Held<'t>(&'t Turn);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // There is room: the message was taken out before. And nobody but the turn has the channel.
        _ = self.0.back.try_send(());
    }
}
