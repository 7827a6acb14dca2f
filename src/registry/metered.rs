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
    pub(crate) fn describe_metrics(&self) {
        if self.read(|state| state.group.is_none()) {
            metrics::describe();
        }
    }

    /// Records how long the shutdown of the outermost host took.
    pub(crate) fn record_stop(&self) {
        let (_, _, took) = self.stop_summary();
        if let Some(name) = self.read(|state| state.group.is_none().then(|| state.name.clone())) {
            metrics::record_stop(name.as_ref(), took);
        }
    }
}

impl RegistryState {
    /// Counts the members of this dynamic group, and everything inside them, under one label.
    pub(super) fn count_members_together(&mut self) {
        let label = || format!("{}/*", self.group.as_deref().unwrap_or_default()).into();
        self.metered_as = Some(self.metered_as.clone().unwrap_or_else(label));
    }

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
        let (host, label) = (self.name.clone(), self.metered_as.clone());
        let record = self.records.get_mut(id.index())?; // a dynamic group may have become smaller in this step
        let is_counted = record.member.as_ref().is_none_or(|member| member.is_alive());
        let condition = Condition { state: record.state().word(), health: record.health.get().word() };
        let condition = is_counted.then_some(condition);
        let now = Metered {
            condition,
            restarts: record.counters.restarts.into(),
            errors: record.counters.errors,
            ticks_missed: record.counters.ticks_missed,
        };
        let before = std::mem::replace(&mut record.metered, now);
        let is_new_condition = before.condition != condition;
        let change = ServiceChange {
            host,
            service: label.unwrap_or_else(|| record.name.clone()),
            left: before.condition.filter(|_| is_new_condition),
            entered: condition.filter(|_| is_new_condition),
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
            let (host, label) = (state.name.clone(), state.metered_as.clone());
            let service = label.unwrap_or_else(|| record.name.clone());
            let left = Some(last);
            ServiceChange { host, service, left, entered: None, restarts: 0, errors: 0, ticks_missed: 0 }.record();
        }
    }
}
