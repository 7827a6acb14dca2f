//! Random faults and random times.

use hosted::Result;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The text of every error and panic that the long run causes. An error without it is unexpected.
pub const ON_PURPOSE: &str = "on purpose";
/// The errors that the first host may have: the above, a locked catalogue, and an unreadable file.
pub const KNOWN: [&str; 3] = [ON_PURPOSE, "database is locked", "Permission denied"];

/// Random numbers from a seed. The order of the threads decides which thread gets which number.
#[derive(Clone)]
pub struct Chance(Arc<Row>);

struct Row {
    seed: u64,
    drawn: AtomicU64,
    faults: AtomicU64,
}

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(Arc::new(Row { seed, drawn: AtomicU64::new(0), faults: AtomicU64::new(0) }))
    }

    pub fn below(&self, n: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.0.seed, self.0.drawn.fetch_add(1, Ordering::Relaxed)).hash(&mut hasher);
        hasher.finish() % n
    }

    pub fn millis(&self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.below(range.end - range.start))
    }

    /// Returns `true` once in `n` times, and counts it.
    pub fn fault(&self, n: u64) -> bool {
        let fault = self.below(n) == 0;
        self.0.faults.fetch_add(u64::from(fault), Ordering::Relaxed);
        fault
    }

    /// Fails once in `n` times, every other time by a panic.
    pub fn strike(&self, n: u64) -> Result {
        match self.fault(n) {
            false => Ok(()),
            true if self.below(2) == 0 => panic!("{ON_PURPOSE}"),
            true => Err(ON_PURPOSE.into()),
        }
    }

    pub fn faults(&self) -> u64 {
        self.0.faults.load(Ordering::Relaxed)
    }
}
