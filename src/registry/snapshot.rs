//! All services of a host and of the groups in it, at one moment.
//!
//! A snapshot is of one moment only if there is a moment at which every registry in it is locked. So all of them are locked
//! first, downwards, and each is unlocked as soon as its rows are copied. Nothing here is as deep, on the stack, as a host
//! is wide or nested.

use super::{Inner, Registry, ServiceRecord};
use crate::report::{ServiceReport, ServiceStatus};
use crate::util::sync::{Arc, MutexGuard};
use std::time::Instant;

impl Registry {
    /// A line for every service and those of groups, in order of registration.
    pub(crate) fn reports(self: &Arc<Self>, stop_began: Option<Instant>) -> Vec<ServiceReport> {
        self.rows(|slot| slot.report(stop_began))
    }

    /// The status of every service and of those of groups, in order of registration.
    pub(super) fn statuses(self: &Arc<Self>) -> Vec<ServiceStatus> {
        self.rows(ServiceRecord::status)
    }

    /// Makes `children` the registry of the group `index`. Returns the registry that it replaces: dropping that calls user
    /// code.
    pub(crate) fn adopt(&self, index: usize, children: Arc<Registry>) -> Option<Arc<Registry>> {
        let _unchanging = self.tree.lock();
        self.update(|inner| {
            children.stop_by(inner.slots[index].stop_by());
            inner.groups.insert(index);
            inner.slots[index].children.replace(children)
        })
    }

    fn rows<R>(self: &Arc<Self>, row: impl Fn(&ServiceRecord) -> R) -> Vec<R> {
        // No group gets another registry between the look for groups and the last lock.
        let unchanging = self.tree.lock();
        let boards = self.with_groups();
        let locked: Vec<MutexGuard<'_, Inner>> = boards.iter().map(|board| board.inner.lock()).collect();
        drop(unchanging);
        let mut rows = Vec::with_capacity(locked.iter().map(|inner| inner.slots.len()).sum());
        let mut locked = locked.into_iter();
        let mut open: Vec<(MutexGuard<'_, Inner>, usize)> = locked.next().map(|inner| (inner, 0)).into_iter().collect();
        while let Some((inner, next)) = open.last_mut() {
            let Some(slot) = inner.slots.get(*next) else {
                open.pop();
                continue;
            };
            *next += 1;
            rows.push(row(slot));
            if slot.children.is_some() {
                // The registries are in the order of their rows: the next one is that of this group.
                open.extend(locked.next().map(|inner| (inner, 0)));
            }
        }
        rows
    }

    /// This registry and those of all groups in it, each group's before those of the groups after it.
    fn with_groups(self: &Arc<Self>) -> Vec<Arc<Registry>> {
        let (mut boards, mut next) = (Vec::new(), vec![self.clone()]);
        while let Some(board) = next.pop() {
            board.read(|inner| {
                let groups = inner.groups.iter().rev();
                next.extend(groups.filter_map(|&index| inner.slots[index].children.clone()));
            });
            boards.push(board);
        }
        boards
    }
}
