//! The stop as a descriptor, for code that waits in the kernel: in `poll`, or in an event loop of another library.
//!
//! # Invariants
//!
//! 1. Only a requester whose `STOPPED` is set rings on purpose. A bell that is readable while its token is not stopped
//!    was rung by another process: after a `fork` without `exec`, both processes have the same eventfd.
//! 2. Only the process that made a bell clears it. A forked child that cleared the bell of its parent could take away
//!    the ring of the parent's stop. The child makes an heir instead: a bell of its own, which it waits at from then on.
//! 3. Whoever clears a bell looks at `STOPPED` afterwards, by the read-modify-write of a listener, and rings again if it
//!    is set. No stop is lost by a clearing that races it: the requester sets `STOPPED` before it rings. A read that
//!    takes this ring away comes after that write, so the look that follows the read finds `STOPPED`. A ring that comes
//!    after the read stays. If another thread takes the second ring away, the same holds for that thread.
//! 4. A requester rings every bell of the chain, because a thread may still wait at an older one.

use crate::util::sync::OnceLock;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{io, process};

/// Rung at the stop, and readable from then on, because nobody reads from it after the stop.
pub(super) struct WakeFd {
    bell: OwnedFd,
    /// Where to listen; `None`: at the bell itself.
    ear: Option<OwnedFd>,
    /// The process that made this bell.
    maker: u32,
    /// The bell of a forked child, which replaces the one that it shares with its parent.
    heir: OnceLock<Box<WakeFd>>,
}

impl WakeFd {
    /// One descriptor, where the system has such, and the quickest to wake. Non-blocking, because several threads may
    /// clear it at the same time.
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(WakeFd { bell, ear: None, maker: process::id(), heir: OnceLock::new() })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> io::Result<Self> {
        let (bell, ear) = std::os::unix::net::UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok(WakeFd { bell: bell.into(), ear: Some(ear.into()), maker: process::id(), heir: OnceLock::new() })
    }

    pub(super) fn ear(&self) -> BorrowedFd<'_> {
        self.last().own_ear()
    }

    /// With something to read, because some pollers do not report a hang-up as readable. It cannot fail: there is room
    /// for the ring, and this end and the other live equally long.
    pub(super) fn ring(&self) {
        for bell in self.chain() {
            _ = rustix::io::write(&bell.bell, &1_u64.to_ne_bytes());
        }
    }

    /// The bell was rung by another process: makes a wait possible again. The caller then looks at `STOPPED` (invariant 3).
    ///
    /// # Errors
    ///
    /// If this process needs a bell of its own and has no descriptor left.
    pub(super) fn clear(&self) -> io::Result<()> {
        let last = self.last();
        if last.maker == process::id() {
            // One read takes everything: an eventfd gives its sum, and a stream of rings is shorter than this. It fails
            // if another thread was faster, which is as good.
            _ = rustix::io::read(last.own_ear(), &mut [0_u8; 512]);
            return Ok(());
        }
        let heir = Box::new(WakeFd::new()?);
        _ = last.heir.set(heir); // another thread of this process may have been faster
        Ok(())
    }

    fn own_ear(&self) -> BorrowedFd<'_> {
        self.ear.as_ref().unwrap_or(&self.bell).as_fd()
    }

    fn chain(&self) -> impl Iterator<Item = &WakeFd> {
        std::iter::successors(Some(self), |bell| bell.heir.get().map(|heir| &**heir))
    }

    /// The bell of this process.
    fn last(&self) -> &WakeFd {
        let mut bell = self;
        while let Some(heir) = bell.heir.get() {
            bell = heir;
        }
        bell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(fd: BorrowedFd<'_>) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&now)).unwrap() == 1
    }

    #[test]
    fn the_maker_of_a_bell_clears_it_and_a_later_ring_is_heard() {
        let bell = WakeFd::new().unwrap();
        bell.ring();
        bell.ring();
        assert!(is_readable(bell.ear()));
        bell.clear().unwrap();
        assert!(!is_readable(bell.ear()));
        bell.clear().unwrap(); // as a second thread does, without waiting
        bell.ring();
        assert!(is_readable(bell.ear()));
    }

    #[test]
    fn a_forked_child_leaves_its_parents_ring_alone_and_waits_at_its_own_bell() {
        // As the child has it after a fork: the descriptor is that of the parent.
        let inherited = WakeFd { maker: process::id() + 1, ..WakeFd::new().unwrap() };
        inherited.ring();
        inherited.clear().unwrap();
        assert!(is_readable(inherited.own_ear()), "the ring of the parent's stop is still there");
        assert!(!is_readable(inherited.ear()));
        inherited.ring();
        assert!(is_readable(inherited.ear()), "the child's own stop rings its own bell");
        inherited.clear().unwrap();
        assert!(!is_readable(inherited.ear()), "the child clears its own bell");
    }
}
