//! When to look for the commits of other processes.
//!
//! The system tells that the log was written, and that is before the commit can be seen. So a look at once would
//! often find nothing. A few more follow within 64 ms, each after twice the time, and then none until the next event.

use std::time::Duration;

/// The first wait. Each further one is twice as long.
const FIRST: Duration = Duration::from_micros(500);

/// How many looks follow an event, or the last work of this process.
const LOOKS: u32 = 8;

pub(super) struct Rechecks {
    done: u32,
    /// The number of the commits of others that was seen last.
    seen: Option<i64>,
}

impl Rechecks {
    pub(super) fn new() -> Self {
        Rechecks { done: 0, seen: None }
    }

    /// Something may have happened: the looks begin again.
    pub(super) fn restart(&mut self) {
        self.done = 0;
    }

    pub(super) fn is_first(&self) -> bool {
        self.done == 0
    }

    /// Returns how long to wait before the next look. `None`: no look is due.
    pub(super) fn next(&mut self) -> Option<Duration> {
        if self.done >= LOOKS {
            return None;
        }
        self.done += 1;
        Some(FIRST * 2_u32.pow(self.done - 1))
    }

    /// Takes the answer of a look. Returns `true` if others have committed since the last one.
    pub(super) fn saw(&mut self, commits: Option<i64>) -> bool {
        match commits {
            // The store could not be asked: somebody in this process writes, and rings the bell.
            None => false,
            Some(commits) => self.seen.replace(commits) != Some(commits),
        }
    }
}
