//! The stop as a descriptor: for whoever waits in the kernel, in `poll` or in somebody else's event loop.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;

/// Rung at the stop, and readable from then on, since nobody reads from it.
pub(super) struct Bell {
    bell: OwnedFd,
    /// Who listens; `None`: at the bell itself.
    ear: Option<OwnedFd>,
}

impl Bell {
    /// One descriptor, where the system has such, and the quickest to wake.
    #[cfg(target_os = "linux")]
    pub(super) fn new() -> io::Result<Self> {
        let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        Ok(Bell { bell, ear: None })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn new() -> io::Result<Self> {
        let (bell, ear) = std::os::unix::net::UnixStream::pair()?;
        Ok(Bell { bell: bell.into(), ear: Some(ear.into()) })
    }

    pub(super) fn ear(&self) -> BorrowedFd<'_> {
        self.ear.as_ref().unwrap_or(&self.bell).as_fd()
    }

    /// With something to read, because some pollers take a hang-up for nothing to read. It cannot fail: there is room for it
    /// and somebody to hear it.
    pub(super) fn ring(&self) {
        _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}
