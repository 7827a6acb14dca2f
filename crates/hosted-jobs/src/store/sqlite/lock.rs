//! Whether a process lives: a lock on a file, which the kernel releases when the process dies, however it dies.
//!
//! There is no heartbeat and no clock. A process that is suspended keeps its lock, and so keeps its jobs.

use crate::error::StoreError;
use crate::store::Result;
use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// The lock files of the workers of a store: one file for each, named by its id.
pub(super) struct WorkerLocks {
    folder: PathBuf,
}

impl WorkerLocks {
    pub(super) fn new(folder: PathBuf) -> Self {
        WorkerLocks { folder }
    }

    /// Takes the lock of a new worker. The lock is held until the returned value is dropped, or the process dies.
    pub(super) fn take(&self, worker: i64) -> Result<Box<dyn Any + Send + Sync>> {
        let failed = |error: io::Error| {
            let path = self.folder.display().to_string();
            StoreError::failed("create a lock file for this process", format!("`{path}`: {error}"))
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        match lock(&self.path(worker), true).map_err(failed)? {
            Some(file) => Ok(Box::new(file)),
            None => Err(failed(io::Error::other("another process holds the lock of this new worker"))),
        }
    }

    /// Returns `true` if nobody holds the lock of that worker: its process is dead.
    ///
    /// A file that is missing is a dead worker's too: a copy of the database comes without the folder. An error means
    /// that nothing is known, so the worker counts as alive.
    pub(super) fn is_free(&self, worker: i64) -> bool {
        match lock(&self.path(worker), false) {
            Ok(found) => found.is_some(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    pub(super) fn remove(&self, worker: i64) {
        // A file that stays behind costs nothing: no worker ever has its id again.
        let _ = fs::remove_file(self.path(worker));
    }

    fn path(&self, worker: i64) -> PathBuf {
        self.folder.join(worker.to_string())
    }
}

/// Opens the file and takes the lock on it. Returns `None` if another process holds the lock.
#[cfg(unix)]
fn lock(path: &std::path::Path, create: bool) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, flock};
    let file = OpenOptions::new().write(true).create(create).truncate(false).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens the file so that nobody else can open it. Returns `None` if another process has it open.
#[cfg(windows)]
fn lock(path: &std::path::Path, create: bool) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;
    const SHARING_VIOLATION: i32 = 32;
    match OpenOptions::new().write(true).create(create).truncate(false).share_mode(0).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(SHARING_VIOLATION) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_dead_when_its_lock_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let locks = WorkerLocks::new(folder.path().join("workers"));
        assert!(locks.is_free(7), "nobody has ever taken it");
        let held = locks.take(7).unwrap();
        assert!(!locks.is_free(7));
        drop(held);
        assert!(locks.is_free(7));
        locks.remove(7);
        assert!(locks.is_free(7));
    }
}
