//! How many jobs to claim: one for an idle store, many under a backlog, and none ahead of time if jobs are long.

use std::time::Duration;

/// Decides how many jobs may be claimed at a time.
pub(super) struct Prefetch {
    /// A running average of how long a transaction takes.
    commit: Duration,
}

/// What is assumed before the first transaction.
const FIRST_COMMIT: Duration = Duration::from_millis(1);

impl Prefetch {
    pub(super) fn new() -> Self {
        Prefetch { commit: FIRST_COMMIT }
    }

    pub(super) fn committed(&mut self, took: Duration) {
        self.commit = self.commit * 7 / 8 + took / 8;
    }

    /// How long a transaction takes, on average.
    pub(super) fn commit_time(&self) -> Duration {
        self.commit
    }

    /// How many jobs may be claimed in all, running ones included.
    ///
    /// A job for each thread, and as many more as the threads run while two transactions are made: the one that is on
    /// its way when they begin, and the one that brings the next jobs.
    pub(super) fn capacity(&self, threads: usize, most_ahead: usize, job_time: Duration) -> usize {
        if job_time.is_zero() {
            return threads; // nothing is known yet
        }
        let jobs = threads as f64 * 2.0 * self.commit.as_secs_f64() / job_time.as_secs_f64();
        threads + (jobs as usize).min(most_ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_jobs_are_not_claimed_ahead() {
        let prefetch = Prefetch::new();
        assert_eq!(prefetch.capacity(4, 100, Duration::ZERO), 4);
        assert_eq!(prefetch.capacity(4, 100, Duration::from_millis(100)), 4);
        assert_eq!(prefetch.capacity(4, 100, Duration::from_micros(20)), 104);
        assert_eq!(prefetch.capacity(4, 0, Duration::from_micros(20)), 4);
    }
}
