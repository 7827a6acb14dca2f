//! The counters of the long run.

use crate::harness::table::thousands;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[derive(Default)]
pub struct Tally {
    /// The counters of the first host: digested files, and jobs of the other queue.
    pub jobs: Count,
    /// Pages that the client got.
    pub pages: Count,
    /// The restarts of services and groups.
    pub restarts: Count,
    /// The events that the listener missed.
    pub missed: Count,
    /// The devices and the connections that came and went.
    pub members: Count,
    /// How late ticks are, counted from the first tick that was due.
    pub ticks: Late,
    /// How long a stop takes if every service reacts: from the request until all threads are joined.
    pub stops: Late,
    /// How far a stop exceeds its deadline if a service is unresponsive.
    pub overdue: Late,
    /// How often each kind of life of a second host happened.
    pub rounds: Mutex<BTreeMap<&'static str, u64>>,
    /// The queues of all second hosts together.
    pub guests: Sums,
    /// The number of unexpected errors.
    pub surprises: Count,
}

impl Tally {
    /// Records an unexpected error.
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

/// The counts of a queue: each accepted job must be handled or drained.
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

    /// Adds the counts of another queue.
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

/// The times of one minute. Their capacity is kept, so that they do not look like a growing heap.
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

    /// Returns median, 99 % and maximum since the last call, in nanoseconds. Returns `None` without times.
    pub fn take(&self) -> Option<[f64; 3]> {
        let mut times = self.0.lock();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        let spread = [last / 2, last * 99 / 100, last].map(|place| times[place].as_nanos() as f64);
        times.clear();
        Some(spread)
    }
}
