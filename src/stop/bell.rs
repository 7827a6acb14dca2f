//! The stop as a descriptor: for whoever waits in the kernel, in `poll` or in somebody else's event loop.
//!
//! A pair of sockets: the *bell* stands on the node's list and is rung at the stop, the *ear* is readable from then on,
//! since nobody reads from it.

use super::state::Node;
use crate::sync::OnceLock;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

impl Node {
    /// A descriptor that is readable from the stop on.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        let lists = self.lists();
        if let Some(ear) = lists.ear.get() {
            return Ok(ear.as_fd());
        }
        // Made before it is put there, since this may fail; who comes second drops his own.
        let (bell, ear) = UnixStream::pair()?;
        let hang_up = || {
            let mut slabs = lists.slabs.lock();
            if self.listen() {
                ring(Some(bell))
            } else {
                slabs.bell = Some(bell)
            }
            ear
        };
        Ok(lists.ear.get_or_init(hang_up).as_fd())
    }
}

/// A byte, because some pollers take a hang-up for nothing to read. There is room for it, and the ear is there: the node
/// has both.
pub(super) fn ring(bell: Option<UnixStream>) {
    _ = bell.map(|mut bell| bell.write(&[0]));
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
