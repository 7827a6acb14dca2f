//! All services of a host and of the groups in it, at one moment.
//!
//! A snapshot is of one moment only if there is a moment at which every registry in it is locked. So all of them are locked
//! first, from the outermost host inwards, and each is unlocked as soon as its rows are copied. The code does not recurse, so the
//! stack depth does not depend on the number or the nesting of the services.

use super::record::ServiceRecord;
use super::{Registry, RegistryState, ServiceId};
use crate::report::{Cause, HostState, MemberCounts, ServiceError, ServiceReport, ServiceStatus};
use crate::util::sync::{Arc, MutexGuard};
use std::collections::HashMap;
use std::time::Instant;

impl Registry {
    /// Returns the failures of the host, and a row for every service, including those of groups, in order of registration. Both are
    /// of one moment: if a service is hung in one, it is hung in the other.
    pub(crate) fn outcome(self: &Arc<Self>, stop_began: Option<Instant>) -> (Vec<ServiceError>, Vec<ServiceReport>) {
        let row = |record: &ServiceRecord, seen: RowContext| {
            let is_listed = record.member.as_ref().is_none_or(|member| !member.is_forgotten());
            is_listed.then(|| ServiceReport { members: seen.members, ..record.report(stop_began) })
        };
        self.rows(RegistryState::failures_with_hung, row)
    }

    /// Returns the status of every service, including those of groups, in order of registration.
    pub(super) fn statuses(self: &Arc<Self>) -> Vec<ServiceStatus> {
        self.rows(|_| (), status_of_living).1
    }

    /// Returns the status of every member of a dynamic group that is alive.
    pub(crate) fn member_statuses(&self) -> Vec<ServiceStatus> {
        self.read(|state| {
            let records = state.in_order();
            let row = |record: &ServiceRecord| {
                status_of_living(record, RowContext { ignores_failure: record.policy.ignores_failure, members: None })
            };
            records.into_iter().filter_map(|index| row(&state.records[index])).collect()
        })
    }

    /// Returns the status of one service.
    pub(crate) fn status(&self, id: ServiceId) -> ServiceStatus {
        self.read(|state| {
            let record = &state.records[id.index()];
            record.status(record.policy.ignores_failure)
        })
    }

    /// Returns `true` if the host has started, no stop is requested, and every service whose failure counts is healthy.
    pub(super) fn is_ready(self: &Arc<Self>) -> bool {
        let is_started = |state: &RegistryState| state.host == HostState::Started;
        let is_ready =
            |record: &ServiceRecord, seen: RowContext| Some(seen.ignores_failure || record.health.is_healthy());
        let (started, rows) = self.rows(is_started, is_ready);
        started && rows.into_iter().all(|ready| ready)
    }

    /// Returns `true` if no service is stalled or hung.
    pub(super) fn is_live(self: &Arc<Self>) -> bool {
        let is_live =
            |record: &ServiceRecord, _: RowContext| Some(record.hung().is_none() && !record.health.is_stalled());
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

    /// Returns the result of `of_host` for this registry, and the rows of its services, including those of groups, at
    /// one moment. `row` returns `None` for a service that is not listed.
    fn rows<H, R>(
        self: &Arc<Self>,
        of_host: impl FnOnce(&RegistryState) -> H,
        row: impl Fn(&ServiceRecord, RowContext) -> Option<R>,
    ) -> (H, Vec<R>) {
        // While `tree` is locked, no group gets another registry.
        let unchanging = self.tree.lock();
        let registries = self.with_groups();
        let places: HashMap<*const Registry, usize> = registries.iter().map(Arc::as_ptr).zip(0..).collect();
        let mut locked: Vec<Option<MutexGuard<'_, RegistryState>>> =
            registries.iter().map(|registry| Some(registry.state.lock())).collect();
        drop(unchanging);
        let mut open = Vec::from_iter(locked[0].take().map(|state| Open::new(state, false))); // `self` is the first registry
        let found = of_host(&open[0].state);
        let mut rows = Vec::with_capacity(
            locked.iter().flatten().chain(open.iter().map(|open| &open.state)).map(|state| state.records.len()).sum(),
        );
        while let Some(Open { state, order, next, ignored }) = open.last_mut() {
            let Some(&index) = order.get(*next) else {
                open.pop();
                continue;
            };
            *next += 1;
            let record = &state.records[index];
            let ignores_failure = *ignored || record.policy.ignores_failure;
            let place = record.children.as_ref().and_then(|children| places.get(&Arc::as_ptr(children)));
            let children = place.and_then(|&place| locked[place].take());
            let members = children.as_ref().and_then(|state| state.members.as_ref().map(|members| members.counts()));
            if let Some(row) = row(record, RowContext { ignores_failure, members }) {
                rows.push(row);
                open.extend(children.map(|state| Open::new(state, ignores_failure)));
            }
        }
        (found, rows)
    }

    /// Returns this registry and those of all groups in it. The registry of each group comes before those of the groups
    /// in it.
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

/// A registry whose rows are being copied.
struct Open<'r> {
    state: MutexGuard<'r, RegistryState>,
    /// The positions of its records, in the order of the rows.
    order: Vec<usize>,
    next: usize,
    /// Whether a failure of the group is ignored, by its own options or by those of a group around it.
    ignored: bool,
}

impl<'r> Open<'r> {
    fn new(state: MutexGuard<'r, RegistryState>, ignored: bool) -> Self {
        Open { order: state.in_order(), state, next: 0, ignored }
    }
}

/// What a row shows that is not in the record of its service.
struct RowContext {
    /// Whether a failure of the service is ignored: by its own options, or by those of a group around it.
    ignores_failure: bool,
    /// The counts of the members, if the service runs a dynamic group.
    members: Option<MemberCounts>,
}

/// A member of a dynamic group is listed as long as something of it is left.
fn status_of_living(record: &ServiceRecord, seen: RowContext) -> Option<ServiceStatus> {
    let is_listed = record.member.is_none() || record.is_living_member();
    is_listed.then(|| ServiceStatus { members: seen.members, ..record.status(seen.ignores_failure) })
}

impl RegistryState {
    /// Returns the positions of the records in the order in which they are listed: in the order in which the services were
    /// added, but the hung members of a dynamic group first.
    fn in_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.records.len()).collect();
        if self.members.is_some() {
            order.sort_by_key(|&index| {
                let record = &self.records[index];
                (record.hung().is_none(), record.member.as_ref().map(|member| member.number))
            });
        }
        order
    }

    /// Returns the final failures in the order in which they happened, and then an error for each service that is hung.
    fn failures_with_hung(&self) -> Vec<ServiceError> {
        let timed_out = |error: &ServiceError| matches!(error.cause(), Cause::TimedOut(_));
        let hung = self.records.iter().filter_map(|record| {
            let blocked = record.hung().filter(|_| !record.failure.as_ref().is_some_and(timed_out))?;
            Some(ServiceError::new(record.name.clone(), blocked.phase, Cause::TimedOut(blocked.waited)))
        });
        self.failures.iter().cloned().chain(hung).collect()
    }
}
