//! `WakeFd`: a descriptor that becomes readable at the stop, for code that waits in `poll` or in the event loop of another
//! library.
//!
//! # Invariants
//!
//! 1. Only a requester that has set `STOPPED` signals a descriptor. If a descriptor is readable but its token is not stopped,
//!    another process has signalled it: after a `fork` without `exec`, both processes have the same eventfd.
//! 2. Only the process that created a descriptor clears it. If a forked child cleared the descriptor of its parent, it could
//!    take away the signal of the parent's stop. So the child creates a replacement, and waits on that from then on.
//! 3. A thread that clears a descriptor checks `STOPPED` afterwards, by the read-modify-write of a listener, and signals again
//!    if it is set. So a clear that races with a stop does not lose the stop:
//!    - The requester sets `STOPPED` before it signals. If the clear took the signal away, the check finds `STOPPED`.
//!    - A signal that comes after the clear stays.
//!    - If another thread takes the second signal away, the same holds for that thread.
//! 4. A requester signals the descriptor and all its replacements, because a thread may still wait on an older one.

use crate::util::sync::OnceLock;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::{io, process};

/// A descriptor that is signalled at the stop. It stays readable, because no thread reads from it after the stop.
pub(super) struct WakeFd {
    /// The descriptor that is written to.
    write_end: OwnedFd,
    /// The descriptor to wait on. `None` if it is the same as `write_end`.
    read_end: Option<OwnedFd>,
    /// The ID of the process that created this descriptor.
    owner: u32,
    /// The descriptor of a forked child, which replaces the one that the child shares with its parent.
    replacement: OnceLock<Box<WakeFd>>,
}

impl WakeFd {
    /// Creates an eventfd: one descriptor, and the fastest to wake. It is non-blocking, because several threads may clear it
    /// at the same time.
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(WakeFd { write_end: eventfd, read_end: None, owner: process::id(), replacement: OnceLock::new() })
    }

    /// Creates a pair of connected sockets, because the system has no eventfd.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> io::Result<Self> {
        let (write_end, read_end) = std::os::unix::net::UnixStream::pair()?;
        write_end.set_nonblocking(true)?;
        read_end.set_nonblocking(true)?;
        Ok(WakeFd {
            write_end: write_end.into(),
            read_end: Some(read_end.into()),
            owner: process::id(),
            replacement: OnceLock::new(),
        })
    }

    /// Returns the descriptor to wait on.
    pub(super) fn read_fd(&self) -> BorrowedFd<'_> {
        self.latest().own_read_fd()
    }

    /// Makes the descriptor and its replacements readable.
    pub(super) fn signal(&self) {
        for wake_fd in self.chain() {
            // Writes data instead of closing an end, because some pollers do not report a hang-up as readable. The write
            // cannot fail: the buffer has room, and both ends live equally long.
            _ = rustix::io::write(&wake_fd.write_end, &1_u64.to_ne_bytes());
        }
    }

    /// Clears a signal of another process, so that the descriptor can be waited on again. The caller must check `STOPPED`
    /// afterwards (invariant 3).
    ///
    /// # Errors
    ///
    /// Returns an error if this process needs a replacement and has no descriptor left.
    pub(super) fn clear(&self) -> io::Result<()> {
        let latest = self.latest();
        if latest.owner == process::id() {
            // One read takes all signals: an eventfd returns their sum, and a socket has fewer bytes than the buffer. The
            // read fails if another thread was faster, and then the descriptor is clear already.
            _ = rustix::io::read(latest.own_read_fd(), &mut [0_u8; 512]);
            return Ok(());
        }
        let replacement = Box::new(WakeFd::new()?);
        _ = latest.replacement.set(replacement); // fails if another thread of this process was faster
        Ok(())
    }

    fn own_read_fd(&self) -> BorrowedFd<'_> {
        self.read_end.as_ref().unwrap_or(&self.write_end).as_fd()
    }

    fn chain(&self) -> impl Iterator<Item = &WakeFd> {
        std::iter::successors(Some(self), |wake_fd| wake_fd.replacement.get().map(|next| &**next))
    }

    /// Returns the descriptor of this process: the last of the chain.
    fn latest(&self) -> &WakeFd {
        let mut wake_fd = self;
        while let Some(next) = wake_fd.replacement.get() {
            wake_fd = next;
        }
        wake_fd
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
    fn the_owner_clears_a_wake_fd_and_a_later_signal_makes_it_readable() {
        let wake_fd = WakeFd::new().unwrap();
        wake_fd.signal();
        wake_fd.signal();
        assert!(is_readable(wake_fd.read_fd()));
        wake_fd.clear().unwrap();
        assert!(!is_readable(wake_fd.read_fd()));
        wake_fd.clear().unwrap(); // a second thread may clear too, and must not block
        wake_fd.signal();
        assert!(is_readable(wake_fd.read_fd()));
    }

    #[test]
    fn a_forked_child_keeps_its_parents_signal_and_waits_on_its_own_wake_fd() {
        // After a fork, the child has the descriptor of its parent.
        let inherited = WakeFd { owner: process::id() + 1, ..WakeFd::new().unwrap() };
        inherited.signal();
        inherited.clear().unwrap();
        assert!(is_readable(inherited.own_read_fd()), "the signal of the parent's stop is still there");
        assert!(!is_readable(inherited.read_fd()));
        inherited.signal();
        assert!(is_readable(inherited.read_fd()), "the child's own stop signals its own descriptor");
        inherited.clear().unwrap();
        assert!(!is_readable(inherited.read_fd()), "the child clears its own descriptor");
    }
}
