//! All services of a host and of the groups in it, at one moment.
//!
//! A snapshot is of one moment only if there is a moment at which every registry in it is locked. So all of them are locked
//! first, from the outermost host inwards, and each is unlocked as soon as its rows are copied. The code does not recurse, so the
//! stack depth does not depend on the number or the nesting of the services.

use super::record::ServiceRecord;
use super::{Registry, RegistryState, ServiceId};
use crate::report::{Cause, HostState, ServiceError, ServiceReport, ServiceStatus};
use crate::util::sync::{Arc, MutexGuard};
use std::time::Instant;

impl Registry {
    /// Returns the failures of the host, and a row for every service, including those of groups, in order of registration. Both are
    /// of one moment: if a service is hung in one, it is hung in the other.
    pub(crate) fn outcome(self: &Arc<Self>, stop_began: Option<Instant>) -> (Vec<ServiceError>, Vec<ServiceReport>) {
        self.rows(RegistryState::failures_with_hung, |record, _| record.report(stop_began))
    }

    /// Returns the status of every service, including those of groups, in order of registration.
    pub(super) fn statuses(self: &Arc<Self>) -> Vec<ServiceStatus> {
        self.rows(|_| (), ServiceRecord::status).1
    }

    /// Returns `true` if the host has started, no stop is requested, and every service whose failure counts is healthy.
    pub(super) fn is_ready(self: &Arc<Self>) -> bool {
        let is_started = |state: &RegistryState| state.host == HostState::Started;
        let (started, rows) = self.rows(is_started, |record, ignored| ignored || record.health.is_healthy());
        started && rows.into_iter().all(|ready| ready)
    }

    /// Returns `true` if no service is stalled or hung.
    pub(super) fn is_live(self: &Arc<Self>) -> bool {
        let is_live = |record: &ServiceRecord, _| record.hung().is_none() && !record.health.is_stalled();
        self.rows(|_| (), is_live).1.into_iter().all(|live| live)
    }

    /// Makes `children` the registry of the group `id`. Returns the registry that it replaces. Dropping the old
    /// registry calls user code.
    pub(crate) fn adopt(&self, id: ServiceId, children: Arc<Registry>) -> Option<Arc<Registry>> {
        let _unchanging = self.tree.lock();
        self.update(|state| {
            children.limit_stop(state.records[id.index()].stop_by());
            state.groups.insert(id);
            state.records[id.index()].children.replace(children)
        })
    }

    /// Returns the result of `of_host` for this registry, and a row for every service, including those of groups, of one moment.
    ///
    /// `row` also receives whether a failure of the service is ignored: by its own options, or by those of a group around it.
    fn rows<H, R>(
        self: &Arc<Self>,
        of_host: impl FnOnce(&RegistryState) -> H,
        row: impl Fn(&ServiceRecord, bool) -> R,
    ) -> (H, Vec<R>) {
        // While `tree` is locked, no group gets another registry.
        let unchanging = self.tree.lock();
        let registries = self.with_groups();
        let locked: Vec<MutexGuard<'_, RegistryState>> =
            registries.iter().map(|registry| registry.state.lock()).collect();
        drop(unchanging);
        let found = of_host(&locked[0]); // this registry is the first one
        let mut rows = Vec::with_capacity(locked.iter().map(|state| state.records.len()).sum());
        let mut locked = locked.into_iter();
        let mut open: Vec<(MutexGuard<'_, RegistryState>, usize, bool)> =
            locked.next().map(|state| (state, 0, false)).into_iter().collect();
        while let Some((state, next, group_ignored)) = open.last_mut() {
            let Some(record) = state.records.get(*next) else {
                open.pop();
                continue;
            };
            *next += 1;
            let is_ignored = *group_ignored || record.policy.ignores_failure;
            rows.push(row(record, is_ignored));
            if record.children.is_some() {
                // The registries are in the order of their rows: the next one is that of this group.
                open.extend(locked.next().map(|state| (state, 0, is_ignored)));
            }
        }
        (found, rows)
    }

    /// This registry and those of all groups in it, each group's before those of the groups after it.
    fn with_groups(self: &Arc<Self>) -> Vec<Arc<Registry>> {
        let (mut registries, mut next) = (Vec::new(), vec![self.clone()]);
        while let Some(registry) = next.pop() {
            registry.read(|state| {
                let groups = state.groups.iter().rev();
                next.extend(groups.filter_map(|&id| state.records[id.index()].children.clone()));
            });
            registries.push(registry);
        }
        registries
    }
}

impl RegistryState {
    /// Returns the final failures, the first one first, and then an error for each service that is hung.
    fn failures_with_hung(&self) -> Vec<ServiceError> {
        let timed_out = |error: &ServiceError| matches!(error.cause(), Cause::TimedOut(_));
        let hung = self.records.iter().filter_map(|record| {
            let blocked = record.hung().filter(|_| !record.failure.as_ref().is_some_and(timed_out))?;
            Some(ServiceError::new(record.name.clone(), blocked.phase, Cause::TimedOut(blocked.waited)))
        });
        self.failures.iter().cloned().chain(hung).collect()
    }
}
