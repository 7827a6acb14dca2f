//! Whether a process lives: a lock on a file, which the kernel releases when the process dies, however it dies.
//!
//! There is no heartbeat and no clock. A process that is suspended keeps its lock, and so keeps its jobs.
//!
//! The file also says which jobs the threads of the process have started. After the death of the process, others know
//! from it which jobs ran, and which were only claimed. The marks need no synchronisation with the disk: they survive the
//! process, and after a power failure no job is to blame.

use crate::error::StoreError;
use crate::store::{Life, Result};
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
    pub(super) fn take(&self, worker: i64, threads: usize) -> Result<WorkerLock> {
        let failed = |error: io::Error| {
            let path = self.folder.display().to_string();
            StoreError::failed("create a lock file for this process", format!("`{path}`: {error}"))
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        match lock(&self.path(worker), true).map_err(failed)? {
            Some(file) => {
                // All of the room now, so that a mark needs no more of a full disk.
                write_at(&file, &vec![0; threads * MARK], 0).map_err(failed)?;
                Ok(WorkerLock { file })
            }
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

    /// Returns the jobs that the threads of a worker have started and not ended. Returns `None` if the file is gone.
    pub(super) fn started_by(&self, worker: i64) -> Option<Vec<i64>> {
        let bytes = fs::read(self.path(worker)).ok()?;
        let marks = bytes.chunks_exact(MARK).filter_map(|mark| mark.try_into().ok()).map(i64::from_le_bytes);
        Some(marks.filter(|id| *id != NO_JOB).collect())
    }

    pub(super) fn remove(&self, worker: i64) {
        // A file that stays behind costs nothing: no worker ever has its id again.
        let _ = fs::remove_file(self.path(worker));
    }

    fn path(&self, worker: i64) -> PathBuf {
        self.folder.join(worker.to_string())
    }
}

/// The length of a mark: the id of a job.
const MARK: usize = size_of::<i64>();

/// The mark of a thread that runs no job. Ids begin at 1.
const NO_JOB: i64 = 0;

/// The lock of a worker that lives, and the marks of its threads.
pub(super) struct WorkerLock {
    file: File,
}

impl Life for WorkerLock {
    fn mark_started(&self, thread: usize, job: Option<i64>) {
        let mark = job.unwrap_or(NO_JOB).to_le_bytes();
        // Without the mark, a death costs this job nothing: the safe side.
        let _ = write_at(&self.file, &mark, (thread * MARK) as u64);
    }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, offset).map(drop)
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
        let held = locks.take(7, 1).unwrap();
        assert!(!locks.is_free(7));
        drop(held);
        assert!(locks.is_free(7));
        locks.remove(7);
        assert!(locks.is_free(7));
    }

    #[test]
    fn the_marks_of_started_jobs_survive_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let locks = WorkerLocks::new(folder.path().join("workers"));
        assert_eq!(locks.started_by(7), None);
        let held = locks.take(7, 3).unwrap();
        held.mark_started(0, Some(11));
        held.mark_started(2, Some(i64::MAX));
        held.mark_started(2, Some(13));
        held.mark_started(0, None);
        held.mark_started(1, Some(12));
        drop(held);
        assert_eq!(locks.started_by(7), Some(vec![12, 13]));
    }
}
