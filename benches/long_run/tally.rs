//! What everybody counts.

use crate::harness::table::thousands;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
pub struct Tally {
    /// Of the first host: files digested, and jobs of the other queue.
    pub jobs: Count,
    /// Pages that the client got.
    pub pages: Count,
    /// Services and groups that were started again.
    pub restarts: Count,
    /// Events that the listener was too slow for.
    pub missed: Count,
    /// How late ticks are: from when the first one that was due was due.
    pub ticks: Late,
    /// How long a stop takes if every service reacts: from the request until all threads are joined.
    pub stops: Late,
    /// How long a stop takes beyond its deadline where somebody is.
    pub overdue: Late,
    /// What the second hosts went through, and how often.
    pub rounds: Mutex<BTreeMap<&'static str, u64>>,
    /// Of the queues of all second hosts.
    pub guests: Sums,
    /// What must not happen, and did.
    pub surprises: Count,
}

impl Tally {
    /// Says what must not happen.
    pub fn unexpected(&self, what: impl fmt::Display) {
        eprintln!("unexpected: {what}");
        self.surprises.add(1);
    }

    pub fn hosts(&self) -> u64 {
        self.rounds.lock().values().sum()
    }
}

#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The sums of a queue's books: what it accepted must have been handled, or drained.
#[derive(Default)]
pub struct Sums {
    pub accepted: Count,
    pub handled: Count,
    pub drained: Count,
}

impl Sums {
    pub fn are_balanced(&self) -> bool {
        self.accepted.get() == self.handled.get() + self.drained.get()
    }

    /// Adds those of another queue.
    pub fn add(&self, other: &Sums) {
        self.accepted.add(other.accepted.get());
        self.handled.add(other.handled.get());
        self.drained.add(other.drained.get());
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sums = [&self.accepted, &self.handled, &self.drained];
        let [accepted, handled, drained] = sums.map(|count| thousands(count.get() as usize));
        write!(f, "{accepted} = {handled} + {drained}")
    }
}

/// Times of one minute. The room for them is kept, so that they do not look like a growing heap.
pub struct Late(Mutex<Vec<Duration>>);

impl Default for Late {
    fn default() -> Self {
        Late(Mutex::new(Vec::with_capacity(16 * 1024)))
    }
}

impl Late {
    pub fn add(&self, time: Duration) {
        self.0.lock().push(time);
    }

    /// Median, 99 % and longest since the last call, in nanoseconds; none where there was nothing.
    pub fn take(&self) -> Option<[f64; 3]> {
        let mut times = self.0.lock();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let spread = [last / 2, last * 99 / 100, last].map(|place| times[place].as_nanos() as f64);
        times.clear();
        Some(spread)
    }
}
