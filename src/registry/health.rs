//! The health of a service: what the service reports about itself.
//!
//! ```text
//!            `degraded`
//! Healthy ──────────────▶ Degraded        a restart and the exit of the service lead back to `Healthy`
//!    ▲                       │
//!    └───────────────────────┘
//!            `healthy`
//! ```

use super::{Registry, ServiceId};
use crate::report::{EventKind, Health};
use crate::util::sync::now;
use crate::util::text::Escaped;
use std::time::Instant;

/// The health of one service. A service that never reports anything needs no memory for it.
#[derive(Default)]
pub(super) struct HealthRecord(Option<Box<Degraded>>);

struct Degraded {
    reason: String,
    since: Instant,
}

impl HealthRecord {
    /// The health that a user sees.
    pub(super) fn get(&self) -> Health {
        match &self.0 {
            Some(degraded) => Health::Degraded { reason: degraded.reason.clone(), since: degraded.since },
            None => Health::Healthy,
        }
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.0.is_none()
    }

    /// Nothing that was reported before counts any more.
    pub(super) fn clear(&mut self) {
        self.0 = None;
    }

    /// Returns `true` if the service was not degraded, or had another reason.
    fn mark_degraded(&mut self, reason: &str) -> bool {
        match &mut self.0 {
            Some(degraded) if degraded.reason == reason => return false,
            Some(degraded) => degraded.reason = reason.to_owned(),
            None => self.0 = Some(Box::new(Degraded { reason: reason.to_owned(), since: now() })),
        }
        true
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
            let record = state.record(id);
            if !record.health.is_healthy() {
                record.health.clear();
                state.emit_for(id, EventKind::Healthy);
            }
        });
    }
}
