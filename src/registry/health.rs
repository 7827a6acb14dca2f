//! The health of a service: what the service reports about itself, and what the monitor finds.
//!
//! A service has two problems that are independent of each other. A user sees the worse one.
//!
//! ```text
//!            degraded(reason)                                  no sign of life for the limit, in `run`
//! (fine) ─────────────────────▶ degraded             (alive) ─────────────────────────────────────────▶ stalled
//!    ▲                              │                    ▲                                                 │
//!    └──────────────────────────────┘                    └─────────────────────────────────────────────────┘
//!     healthy(), the start after a restart, the exit       a sign of life, the end of `run`
//! ```

use super::{Registry, ServiceId};
use crate::diagnose::ProcSnapshot;
use crate::report::{BlockedThread, EventKind, Health, ServiceState};
use crate::util::sync::now;
use crate::util::text::Escaped;
use std::time::{Duration, Instant};

/// The health of one service. A healthy service needs no memory for it.
#[derive(Default)]
pub(super) struct HealthRecord(Option<Box<Problems>>);

#[derive(Default)]
struct Problems {
    degraded: Option<Degraded>,
    /// The latest sign of life of a service that is stalled.
    stalled: Option<Instant>,
}

struct Degraded {
    reason: String,
    since: Instant,
}

impl HealthRecord {
    /// The health that a user sees.
    pub(super) fn get(&self) -> Health {
        match self.0.as_deref() {
            Some(Problems { stalled: Some(since), .. }) => Health::Stalled { since: *since },
            Some(Problems { degraded: Some(Degraded { reason, since }), .. }) => {
                Health::Degraded { reason: reason.clone(), since: *since }
            }
            _ => Health::Healthy,
        }
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.0.as_ref().is_some_and(|problems| problems.stalled.is_some())
    }

    /// Nothing that was reported or found before counts any more.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Returns `true` if the service was stalled.
    pub(super) fn end_stall(&mut self) -> bool {
        self.end(|problems| problems.stalled.take().is_some())
    }

    fn end_degradation(&mut self) -> bool {
        self.end(|problems| problems.degraded.take().is_some())
    }

    fn end(&mut self, end: impl FnOnce(&mut Problems) -> bool) -> bool {
        let ended = self.0.as_deref_mut().is_some_and(end);
        if self.0.as_ref().is_some_and(|problems| problems.degraded.is_none() && problems.stalled.is_none()) {
            self.0 = None;
        }
        ended
    }

    /// Returns `true` if the service was not degraded, or had another reason.
    fn mark_degraded(&mut self, reason: &str) -> bool {
        let problems = self.0.get_or_insert_default();
        match &mut problems.degraded {
            Some(degraded) if degraded.reason == reason => return false,
            Some(degraded) => degraded.reason = reason.to_owned(),
            None => problems.degraded = Some(Degraded { reason: reason.to_owned(), since: now() }),
        }
        true
    }

    fn mark_stalled(&mut self, since: Instant) {
        self.0.get_or_insert_default().stalled = Some(since);
    }
}

impl Registry {
    /// The service runs, but cannot do its work.
    pub(crate) fn mark_degraded(&self, id: ServiceId, reason: &str) {
        let reason = Escaped(reason).to_string();
        self.update(|state| {
            let record = state.record(id);
            // A helper thread may call this after the service has exited.
            if !record.has_exited() && record.health.mark_degraded(&reason) {
                state.emit_for(id, EventKind::Degraded { reason });
            }
        });
    }

    /// The service can do its work again.
    pub(crate) fn mark_healthy(&self, id: ServiceId) {
        self.update(|state| {
            if state.record(id).health.end_degradation() {
                state.emit_for(id, EventKind::Healthy);
            }
        });
    }

    /// Inspects the thread of a service that has shown no sign of life for `waited`. Returns `None` if the service does not
    /// run, or if its stop is requested. Reads files.
    pub(super) fn stuck_in_run(&self, id: ServiceId, waited: Duration) -> Option<BlockedThread> {
        let stuck = self.read(|state| {
            let record = &state.records[id.index()];
            (record.state() == ServiceState::Running).then(|| record.stuck_thread())
        })?;
        Some(BlockedThread { waited, ..stuck.inspect(&ProcSnapshot::new()) })
    }

    /// The service has shown no sign of life for too long. Returns `false` if that does not count: the service does not run, its
    /// stop is requested, or `is_still` returns `false`, because it has shown a sign of life meanwhile.
    pub(super) fn mark_stalled(
        &self,
        id: ServiceId,
        since: Instant,
        thread: BlockedThread,
        is_still: impl FnOnce() -> bool,
    ) -> bool {
        self.update(|state| {
            let record = state.record(id);
            let counts = record.state() == ServiceState::Running && is_still();
            if counts {
                record.health.mark_stalled(since);
                state.emit_for(id, EventKind::Stalled(thread));
            }
            counts
        })
    }

    /// A service that was stalled has shown a sign of life. If its run has ended, nothing is left to do.
    pub(super) fn mark_recovered(&self, id: ServiceId) {
        self.update(|state| {
            if state.record(id).health.end_stall() {
                state.emit_for(id, EventKind::Recovered);
            }
        });
    }
}
