//! The stop as a descriptor: for whoever waits in the kernel, in `poll` or in somebody else's event loop.
//!
//! A pair of sockets: the *bell* is rung at the stop, the *ear* is readable from then on, since nobody reads from it.

use super::state::Node;
use crate::sync::OnceLock;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

impl Node {
    /// A descriptor that is readable from the stop on.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        let lists = self.lists();
        if let Some((_, ear)) = lists.bell.get() {
            return Ok(ear.as_fd());
        }
        // Made before it is put there, since this may fail; who comes second drops his own.
        let made = UnixStream::pair()?;
        let bell = lists.bell.get_or_init(|| made);
        // Only now, as with a list (invariant 2): either this sees the stop, or the requester sees the bell. Both may ring.
        if self.listen() {
            ring(bell);
        }
        Ok(bell.1.as_fd())
    }
}

/// A byte, because some pollers take a hang-up for nothing to read. It cannot fail: there is room for it, and the ear is
/// open. The bell stays open as well: to close it here would keep who has just been woken from getting on.
pub(super) fn ring((bell, _): &(UnixStream, UnixStream)) {
    _ = (&*bell).write(&[0]);
}

/// What a token has that is never stopped.
pub(super) fn never() -> io::Result<BorrowedFd<'static>> {
    static NEVER: OnceLock<(UnixStream, UnixStream)> = OnceLock::new();
    if let Some((_, ear)) = NEVER.get() {
        return Ok(ear.as_fd());
    }
    let pair = UnixStream::pair()?;
    Ok(NEVER.get_or_init(|| pair).1.as_fd())
}
