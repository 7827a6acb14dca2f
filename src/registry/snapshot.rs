//! All services of a host and of the groups in it, at one moment.
//!
//! A snapshot is of one moment only if there is a moment at which every registry in it is locked. So all of them are locked
//! first, downwards, and each is unlocked as soon as its rows are copied. Nothing here is as deep, on the stack, as a host
//! is wide or nested.

use super::record::ServiceRecord;
use super::{Registry, RegistryState, ServiceId};
use crate::report::{ServiceReport, ServiceStatus};
use crate::util::sync::{Arc, MutexGuard};
use std::time::Instant;

impl Registry {
    /// A line for every service and those of groups, in order of registration.
    pub(crate) fn reports(self: &Arc<Self>, stop_began: Option<Instant>) -> Vec<ServiceReport> {
        self.rows(|record| record.report(stop_began))
    }

    /// The status of every service and of those of groups, in order of registration.
    pub(super) fn statuses(self: &Arc<Self>) -> Vec<ServiceStatus> {
        self.rows(ServiceRecord::status)
    }

    /// Makes `children` the registry of the group `index`. Returns the registry that it replaces: dropping that calls user
    /// code.
    pub(crate) fn adopt(&self, id: ServiceId, children: Arc<Registry>) -> Option<Arc<Registry>> {
        let _unchanging = self.tree.lock();
        self.update(|state| {
            children.limit_stop(state.records[id.index()].stop_by());
            state.groups.insert(id);
            state.records[id.index()].children.replace(children)
        })
    }

    fn rows<R>(self: &Arc<Self>, row: impl Fn(&ServiceRecord) -> R) -> Vec<R> {
        // No group gets another registry between the look for groups and the last lock.
        let unchanging = self.tree.lock();
        let registries = self.with_groups();
        let locked: Vec<MutexGuard<'_, RegistryState>> =
            registries.iter().map(|registry| registry.state.lock()).collect();
        drop(unchanging);
        let mut rows = Vec::with_capacity(locked.iter().map(|state| state.records.len()).sum());
        let mut locked = locked.into_iter();
        let mut open: Vec<(MutexGuard<'_, RegistryState>, usize)> =
            locked.next().map(|state| (state, 0)).into_iter().collect();
        while let Some((state, next)) = open.last_mut() {
            let Some(record) = state.records.get(*next) else {
                open.pop();
                continue;
            };
            *next += 1;
            rows.push(row(record));
            if record.children.is_some() {
                // The registries are in the order of their rows: the next one is that of this group.
                open.extend(locked.next().map(|state| (state, 0)));
            }
        }
        rows
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
