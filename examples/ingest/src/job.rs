//! A file to digest: its `Job`, the `Claim` that prevents a second job for it, and its `Stamp`.

use parking_lot::Mutex;
use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A job that `scan` queues and a digester handles.
pub struct Job {
    pub claim: Claim,
    pub stamp: Stamp,
}

/// The size and time of a file. A file has changed if its stamp has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub size: i64,
    /// Nanoseconds since 1970.
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

/// Returns `true` if the last change of a file is old enough that its next change gets a different time.
///
/// File systems count time in ticks of several milliseconds. For a younger file, an equal stamp after the read would
/// not prove that the file is unchanged.
pub fn is_settled(metadata: &Metadata) -> io::Result<bool> {
    const TICK: Duration = Duration::from_millis(50);
    let age = SystemTime::now().duration_since(metadata.modified()?).unwrap_or_else(|ahead| ahead.duration());
    Ok(age > TICK)
}

/// The files in flight: queued, being read, or on their way to the catalogue.
#[derive(Clone, Default)]
pub struct Claims(Arc<Mutex<HashSet<Arc<Path>>>>);

impl Claims {
    /// Claims the file at `path`. Returns `None` if the file is already in flight.
    pub fn claim(&self, path: &Path) -> Option<Claim> {
        let path: Arc<Path> = path.into();
        let claims = self.0.clone();
        claims.lock().insert(path.clone()).then(|| Claim { path, claims: self.clone() })
    }

    pub fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Marks a file as in flight until the claim is dropped.
///
/// The claim moves along with the work. It is dropped when the store has written the row. If the work fails earlier,
/// the claim is dropped there, and the next scan finds the file again.
pub struct Claim {
    path: Arc<Path>,
    claims: Claims,
}

impl Claim {
    /// Returns the path relative to the directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().remove(&self.path);
    }
}
