//! A file to be digested: `Job`, the `Claim` that keeps it from being queued twice, and the `Stamp` it had.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What `scan` queues and the digesters take.
pub struct Job {
    pub claim: Claim,
    pub stamp: Stamp,
}

/// What tells that a file has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size: i64,
    /// In nanoseconds since 1970.
    pub mtime: i64,
}

impl Stamp {
    pub fn of(metadata: &Metadata) -> io::Result<Stamp> {
        let mtime = match metadata.modified()?.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i64,
            Err(before) => -(before.duration().as_nanos() as i64),
        };
        Ok(Stamp { size: metadata.len() as i64, mtime })
    }
}

/// Whether a file was last changed long enough ago for its next change to get another time: file systems count in
/// ticks of some milliseconds. Only then does the same stamp after reading mean that nothing has changed.
pub fn is_settled(metadata: &Metadata) -> io::Result<bool> {
    const TICK: Duration = Duration::from_millis(50);
    let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_else(|ahead| ahead.duration());
    Ok(age > TICK)
}

/// The files that are in flight: queued, being read, or on the way to the catalogue.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<HashSet<Arc<Path>>>>);

impl Claims {
    /// Claims the file at `path`, unless it is in flight.
    pub fn claim(&self, path: &Path) -> Option<Claim> {
        let path: Arc<Path> = path.into();
        let claims = self.0.clone();
        claims.lock().insert(path.clone()).then(|| Claim { path, claims: self.clone() })
    }

    pub fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// A file that is in flight for as long as this lives. It travels with the work and is dropped when the row is written,
/// or wherever the work ends before: then the next scan finds the file again.
pub struct Claim {
    path: Arc<Path>,
    claims: Claims,
}

impl Claim {
    /// Relative to the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().remove(&self.path);
    }
}
