//! The stop deadline of a service, for code that runs until then. Such code is notified when the deadline moves closer.
//!
//! # Invariant
//!
//! For code that waits until a deadline, the deadline only moves closer. After a stop has run out of time, a second stop may have
//! more time: another call of `stop`, or a group that waits for a hung child without a limit. The second stop must not revoke a
//! deadline that has passed, because the waiting thread may not have observed it yet.

use super::{Registry, ServiceId};
use crate::stop::StopSource;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::stop::StopToken;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::util::sync::Arc;
use crate::util::time::remaining;
use std::time::{Duration, Instant};

/// The context of a job stops before the deadline. The lead is a tenth of the time that is left, at least this constant, at most
/// half. Without the lead the job would observe the stop at the deadline itself, and would have no time to finish: to close a
/// connection properly, or to terminate a child process.
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
    /// Sets or moves the deadline. If it comes closer, returns what the caller must schedule without the lock, because
    /// the timer has its own lock.
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

/// A stop that the timer must request.
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

/// The deadline of a service as its waiting code sees it.
#[derive(Default)]
pub(super) struct DeadlineWatchers {
    /// The number of waiting threads. The deadline may move away only while no thread waits.
    watches: usize,
    deadline: Option<Instant>,
    /// Stops when the deadline moves closer.
    moved: Option<StopSource>,
}

impl DeadlineWatchers {
    /// Sets or moves the deadline. Returns the source that the caller must stop after it has released the lock.
    pub(super) fn move_to(&mut self, deadline: Option<Instant>) -> Option<StopSource> {
        if self.watches > 0 && !is_closer(deadline, self.deadline) {
            return None;
        }
        self.deadline = deadline;
        self.moved.take()
    }
}

impl Registry {
    /// Returns a source that stops at the deadline of the service, or a lead before it.
    pub(crate) fn deadline_source(&self, id: ServiceId, kind: DeadlineKind) -> StopSource {
        let (source, scheduled) = self.update(|state| {
            let record = state.record(id);
            record.stop.sources.get(kind, record.stop.deadline)
        });
        scheduled.into_iter().for_each(ScheduledStop::schedule);
        source
    }
}

/// Registers a thread that waits until the deadline of a service. Dropping the watch removes the registration.
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

    /// Returns the deadline, and a token that stops when the deadline moves closer.
    pub(crate) fn get(&self) -> (Option<Instant>, StopToken) {
        self.registry.update(|state| {
            let watched = &mut state.record(self.id).stop.watchers;
            let moved = watched.moved.get_or_insert_with(StopSource::new);
            // A linked source, so that its descriptor is closed with the caller's token, and not with the registry.
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
                record.stop.watchers.deadline = record.stop.deadline; // the next watcher sees the present deadline
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
        let [earlier, later] = [10, 20].map(|seconds| Some(now() + Duration::from_secs(seconds)));
        let mut sources = DeadlineSources::default();
        _ = sources.get(DeadlineKind::Job, None);
        let mut watched = DeadlineWatchers { watches: 1, ..DeadlineWatchers::default() };
        // The steps: set the deadline, move it closer, then try to revoke it by a stop without a limit and by a stop
        // with more time.
        for (deadline, moves) in [(later, true), (earlier, true), (None, false), (later, false), (earlier, false)] {
            watched.moved = Some(StopSource::new());
            assert_eq!((!sources.move_to(deadline).is_empty(), watched.move_to(deadline).is_some()), (moves, moves));
        }
        assert_eq!((sources.0[0].deadline, watched.deadline), (earlier, earlier));
        watched.watches = 0;
        watched.move_to(later);
        assert_eq!(watched.deadline, later, "the next watcher sees the present deadline");
    }
}
