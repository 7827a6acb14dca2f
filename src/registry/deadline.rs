//! The deadline that a service is given: code that runs until then hears of it, also when it moves.
//!
//! # Invariant
//!
//! For code that waits until a deadline, the deadline only moves closer. A stop that has run out of time may be followed by
//! one with more time: a second call of `stop`, or a group that waits for a hung child without a limit. That must not take
//! back a deadline which has passed, and which the waiting thread has not had the processor time to see.

use super::{Registry, ServiceId};
use crate::stop::StopSource;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::stop::StopToken;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::util::sync::Arc;
use crate::util::time::remaining;
use std::time::{Duration, Instant};

/// How long before the deadline a queue's job is told that its time is up: a tenth of the time that is left, at least
/// this, but at most half. Without this lead, the job would hear of it at the deadline itself, and what it then does to
/// finish (a goodbye to a peer, the grace of a child process) would have no time at all.
const LEAST_LEAD: Duration = Duration::from_millis(100);

/// A source that is stopped a lead before the deadline, and the deadline that it goes by.
pub(super) struct DeadlineSource {
    source: StopSource,
    deadline: Option<Instant>,
}

impl DeadlineSource {
    /// The deadline is set or moves. If it comes closer, the source that is to be armed once the lock is let go: the timer
    /// has a lock of its own.
    pub(super) fn move_to(&mut self, deadline: Option<Instant>) -> Option<StopSource> {
        let closer = is_closer(deadline, self.deadline);
        closer.then(|| {
            self.deadline = deadline;
            self.source.clone()
        })
    }
}

fn is_closer(deadline: Option<Instant>, than: Option<Instant>) -> bool {
    deadline.is_some_and(|at| than.is_none_or(|than| at < than))
}

/// Stops `until_deadline_source` a lead before `deadline`.
pub(super) fn schedule_stop(until_deadline_source: &StopSource, deadline: Option<Instant>) {
    let left = remaining(deadline);
    // Without a deadline `left` is `Duration::MAX`, and nine tenths of that are forever, too.
    let lead = (left / 10).max(LEAST_LEAD).min(left / 2);
    until_deadline_source.request_stop_at(crate::util::time::deadline(left - lead));
}

/// The deadline for code that waits until then.
#[derive(Default)]
pub(super) struct DeadlineWatchers {
    /// How many wait. A deadline may come to be later only while nobody does.
    watches: usize,
    deadline: Option<Instant>,
    /// Stopped when the deadline comes closer.
    moved: Option<StopSource>,
}

impl DeadlineWatchers {
    /// The deadline is set or moves. Gives what is to be stopped once the lock is let go.
    pub(super) fn move_to(&mut self, deadline: Option<Instant>) -> Option<StopSource> {
        if self.watches > 0 && !is_closer(deadline, self.deadline) {
            return None;
        }
        self.deadline = deadline;
        self.moved.take()
    }
}

impl Registry {
    /// A source that is stopped a lead before the deadline of the service. For one run.
    pub(crate) fn until_deadline_source(&self, id: ServiceId) -> StopSource {
        let source = StopSource::new();
        let (before, deadline) = self.update(|state| {
            let record = state.record(id);
            let until_deadline_source = DeadlineSource { source: source.clone(), deadline: record.stop.deadline };
            (record.stop.source.replace(until_deadline_source), record.stop.deadline)
        });
        drop(before);
        if deadline.is_some() {
            schedule_stop(&source, deadline);
        }
        source
    }
}

/// Somebody waits until the deadline of a service, until this is dropped.
#[cfg(all(feature = "io", target_os = "linux"))]
pub(crate) struct DeadlineWatch {
    registry: Arc<Registry>,
    id: ServiceId,
}

#[cfg(all(feature = "io", target_os = "linux"))]
impl DeadlineWatch {
    pub(crate) fn new(registry: Arc<Registry>, id: ServiceId) -> Self {
        registry.update(|state| state.record(id).stop.watchers.watches += 1);
        DeadlineWatch { registry, id }
    }

    /// The deadline, and a token that is stopped when it comes closer.
    pub(crate) fn get(&self) -> (Option<Instant>, StopToken) {
        self.registry.update(|state| {
            let watched = &mut state.record(self.id).stop.watchers;
            let moved = watched.moved.get_or_insert_with(StopSource::new);
            // Linked, so that a descriptor made for it goes with the caller, and not with the registry.
            (watched.deadline, StopSource::linked([&moved.token()]).token())
        })
    }
}

#[cfg(all(feature = "io", target_os = "linux"))]
impl Drop for DeadlineWatch {
    fn drop(&mut self) {
        self.registry.update(|state| {
            let record = state.record(self.id);
            record.stop.watchers.watches -= 1;
            if record.stop.watchers.watches == 0 {
                record.stop.watchers.deadline = record.stop.deadline; // what comes next has the time that it is told
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::sync::now;

    #[test]
    fn a_deadline_that_somebody_waits_for_only_moves_closer() {
        let [sooner, later] = [10, 20].map(|seconds| Some(now() + Duration::from_secs(seconds)));
        let mut until_deadline_source = DeadlineSource { source: StopSource::new(), deadline: None };
        let mut watched = DeadlineWatchers { watches: 1, ..DeadlineWatchers::default() };
        // Set, moved closer, taken back by a stop without a limit, and by one with more time.
        for (deadline, moves) in [(later, true), (sooner, true), (None, false), (later, false), (sooner, false)] {
            watched.moved = Some(StopSource::new());
            assert_eq!(
                (until_deadline_source.move_to(deadline).is_some(), watched.move_to(deadline).is_some()),
                (moves, moves)
            );
        }
        assert_eq!((until_deadline_source.deadline, watched.deadline), (sooner, sooner));
        watched.watches = 0;
        watched.move_to(later);
        assert_eq!(watched.deadline, later, "who waits next has the time that it is told");
    }
}
