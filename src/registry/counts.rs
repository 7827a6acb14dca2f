//! Counters that follow from the records. They exist so that a wait does not have to visit every record.

use super::record::ServiceRecord;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// The services that the start still waits for.
    pub(super) unresolved: usize,
    /// The services of this run that have not exited.
    pub(super) living: usize,
    /// The threads that are not joined, and the callback threads that are not done.
    pub(super) outstanding: usize,
    /// The threads that only wait to be joined.
    pub(super) unjoined: usize,
    /// The threads that the reapers have joined. Threads that end after a shutdown are not among them.
    pub(super) joined_by_reapers: usize,
}

impl Counts {
    /// Checks the counters against the records. For small hosts only, because it visits every record.
    /// `run` is the number of services that the start has begun with; services that were added later do not count.
    pub(super) fn check(&self, records: &[ServiceRecord], run: Option<usize>) {
        const SMALL: usize = 64;
        if !cfg!(debug_assertions) || records.len() > SMALL {
            return;
        }
        let count = |of: fn(&ServiceRecord) -> bool| records.iter().filter(|record| of(record)).count();
        let threads = count(|record| record.was_started() && !record.is_joined());
        let callbacks = count(|record| record.threads.callbacks.is_some());
        debug_assert_eq!(self.outstanding, threads + callbacks, "outstanding threads");
        let unjoined = count(|record| record.has_exited() && !record.is_joined());
        debug_assert_eq!(self.unjoined, unjoined, "threads to be joined");
        debug_assert!(self.joined_by_reapers <= count(ServiceRecord::is_joined), "joined threads");
        if let Some(run) = run {
            let (unresolved, living) =
                (|record: &&ServiceRecord| !record.start.resolved, |record: &&ServiceRecord| !record.has_exited());
            debug_assert_eq!(self.unresolved, records[..run].iter().filter(unresolved).count(), "unresolved starts");
            debug_assert_eq!(self.living, records[..run].iter().filter(living).count(), "living services");
        }
    }
}
