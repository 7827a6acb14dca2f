//! What has changed about the services since it was last recorded as metrics. Feature `metrics`.
//!
//! Each change of a record goes through [`RegistryState::record`], which notes the service. [`Registry::update`] computes the
//! differences under the lock and records them after its release. So nothing polls, nothing is lost, and no recorder runs
//! under the lock.

use super::{Registry, RegistryState, ServiceId};
use crate::util::metrics::{self, Condition, ServiceChange};

/// What was recorded last about a service.
#[derive(Default)]
pub(super) struct Metered {
    condition: Option<Condition>,
    restarts: u64,
    errors: u64,
    ticks_missed: u64,
}

impl Registry {
    /// Describes every metric, once for a host and the groups in it.
    pub(super) fn describe_metrics(&self) {
        if self.read(|state| state.group.is_none()) {
            metrics::describe();
        }
    }

    /// Records how long the shutdown of the outermost host took.
    pub(super) fn record_stop(&self) {
        let (_, _, took) = self.stop_summary();
        if let Some(name) = self.read(|state| state.group.is_none().then(|| state.name.clone())) {
            metrics::record_stop(name.as_ref(), took);
        }
    }
}

impl RegistryState {
    /// Returns what has changed about the services that were accessed since the last call.
    pub(super) fn take_service_changes(&mut self) -> Vec<ServiceChange> {
        let mut accessed = std::mem::take(&mut self.accessed);
        accessed.sort_unstable();
        accessed.dedup();
        let changes = accessed.drain(..).filter_map(|id| self.take_service_change(id)).collect();
        self.accessed = accessed; // its memory is used again
        changes
    }

    fn take_service_change(&mut self, id: ServiceId) -> Option<ServiceChange> {
        let host = self.name.clone();
        let record = &mut self.records[id.index()];
        let condition = Condition { state: record.state().word(), health: record.health.get().word() };
        let now = Metered {
            condition: Some(condition),
            restarts: record.counters.restarts.into(),
            errors: record.counters.errors,
            ticks_missed: record.counters.ticks_missed,
        };
        let before = std::mem::replace(&mut record.metered, now);
        let is_new_condition = before.condition != Some(condition);
        let change = ServiceChange {
            host,
            service: record.name.clone(),
            left: before.condition.filter(|_| is_new_condition),
            entered: Some(condition).filter(|_| is_new_condition),
            // The count of errors goes down by one before it goes up by one, if a service gives up. Both are in one step.
            restarts: record.metered.restarts.saturating_sub(before.restarts),
            errors: record.metered.errors.saturating_sub(before.errors),
            ticks_missed: record.metered.ticks_missed - before.ticks_missed,
        };
        let is_change = is_new_condition || change.restarts + change.errors + change.ticks_missed > 0;
        is_change.then_some(change)
    }
}

impl Drop for Registry {
    /// The services are gone, so no state counts them any more.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        for record in &mut state.records {
            let Some(last) = record.metered.condition.take() else { continue };
            let (host, service) = (state.name.clone(), record.name.clone());
            let left = Some(last);
            ServiceChange { host, service, left, entered: None, restarts: 0, errors: 0, ticks_missed: 0 }.record();
        }
    }
}
