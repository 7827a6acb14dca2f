//! When to check for the commits of other processes.
//!
//! The kernel reports each write to the log, and it does so before the commit is visible. So a check at once often finds
//! nothing. A few more checks follow within 128 ms, each after twice the time, and then none until the next event.

use std::time::Duration;

/// The first wait. Each further one is twice as long.
const FIRST: Duration = Duration::from_micros(500);

/// The number of checks that follow an event, or the last work of this process.
const CHECKS: u32 = 8;

pub(super) struct Rechecks {
    done: u32,
    /// The number of the commits of others that was seen last.
    seen: Option<i64>,
}

impl Rechecks {
    pub(super) fn new() -> Self {
        Rechecks { done: 0, seen: None }
    }

    /// Something may have happened: the checks begin again.
    pub(super) fn restart(&mut self) {
        self.done = 0;
    }

    pub(super) fn is_first(&self) -> bool {
        self.done == 0
    }

    /// Returns how long to wait before the next check. Returns `None` if no check is due.
    pub(super) fn next(&mut self) -> Option<Duration> {
        if self.done >= CHECKS {
            return None;
        }
        self.done += 1;
        Some(FIRST * 2_u32.pow(self.done - 1))
    }

    /// Takes the answer of a check. Returns `true` if others have committed since the last one.
    pub(super) fn saw(&mut self, commits: Option<i64>) -> bool {
        match commits {
            // The connection is in use: another thread of this process writes, and rings the bell.
            None => false,
            Some(commits) => self.seen.replace(commits) != Some(commits),
        }
    }
}
