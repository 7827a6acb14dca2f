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

/// How long before the deadline the context of a job is stopped: a tenth of the time that is left, at least this, at most
/// half. Without this lead the job would see the stop at the deadline itself, and would have no time to finish: to say goodbye
/// to a peer, or to end a child process.
const LEAST_LEAD: Duration = Duration::from_millis(100);

/// Which stop a source announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadlineKind {
    /// The stop deadline of the service.
    Deadline,
    /// A lead before it, for jobs.
    Job,
}

/// A source that is stopped when the deadline of a service passes, or a lead before it.
pub(super) struct DeadlineSource {
    source: StopSource,
    kind: DeadlineKind,
    deadline: Option<Instant>,
}

impl DeadlineSource {
    /// The deadline is set or moves. If it comes closer, returns what the caller must schedule without the lock, because the
    /// timer has a lock of its own.
    fn move_to(&mut self, deadline: Option<Instant>) -> Option<ScheduledStop> {
        if !is_closer(deadline, self.deadline) {
            return None;
        }
        self.deadline = deadline;
        Some(ScheduledStop { source: self.source.clone(), kind: self.kind, deadline })
    }
}

/// The sources of one service: at most one of each kind.
#[derive(Default)]
pub(super) struct DeadlineSources(Vec<DeadlineSource>);

impl DeadlineSources {
    pub(super) fn move_to(&mut self, deadline: Option<Instant>) -> Vec<ScheduledStop> {
        self.0.iter_mut().filter_map(|source| source.move_to(deadline)).collect()
    }

    /// Returns the source of that kind, and what the caller must schedule if the source is new.
    fn get(&mut self, kind: DeadlineKind, deadline: Option<Instant>) -> (StopSource, Option<ScheduledStop>) {
        if let Some(known) = self.0.iter().find(|source| source.kind == kind) {
            return (known.source.clone(), None);
        }
        let mut new = DeadlineSource { source: StopSource::new(), kind, deadline: None };
        let scheduled = new.move_to(deadline);
        let source = new.source.clone();
        self.0.push(new);
        (source, scheduled)
    }
}

/// A stop that the timer is to request.
#[must_use = "the stop is requested only if it is scheduled"]
pub(super) struct ScheduledStop {
    source: StopSource,
    kind: DeadlineKind,
    deadline: Option<Instant>,
}

impl ScheduledStop {
    pub(super) fn schedule(self) {
        let left = remaining(self.deadline);
        let lead = match self.kind {
            DeadlineKind::Deadline => Duration::ZERO,
            DeadlineKind::Job => (left / 10).max(LEAST_LEAD).min(left / 2),
        };
        self.source.request_stop_at(crate::util::time::deadline(left - lead));
    }
}

fn is_closer(deadline: Option<Instant>, than: Option<Instant>) -> bool {
    deadline.is_some_and(|at| than.is_none_or(|than| at < than))
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
    /// A source that is stopped at the deadline of the service, or a lead before it.
    pub(crate) fn deadline_source(&self, id: ServiceId, kind: DeadlineKind) -> StopSource {
        let (source, scheduled) = self.update(|state| {
            let record = state.record(id);
            record.stop.sources.get(kind, record.stop.deadline)
        });
        scheduled.into_iter().for_each(ScheduledStop::schedule);
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
        let mut sources = DeadlineSources::default();
        _ = sources.get(DeadlineKind::Job, None);
        let mut watched = DeadlineWatchers { watches: 1, ..DeadlineWatchers::default() };
        // Set, moved closer, taken back by a stop without a limit, and by one with more time.
        for (deadline, moves) in [(later, true), (sooner, true), (None, false), (later, false), (sooner, false)] {
            watched.moved = Some(StopSource::new());
            assert_eq!((!sources.move_to(deadline).is_empty(), watched.move_to(deadline).is_some()), (moves, moves));
        }
        assert_eq!((sources.0[0].deadline, watched.deadline), (sooner, sooner));
        watched.watches = 0;
        watched.move_to(later);
        assert_eq!(watched.deadline, later, "who waits next has the time that it is told");
    }
}
