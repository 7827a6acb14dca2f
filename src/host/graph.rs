//! Which services become free next, while others start or stop. Pure data: no thread, no lock, no clock.
//!
//! A start walks from dependencies to dependents, a stop from dependents to dependencies. Both are the same walk over
//! opposite edges: a service is free when every service that blocks it is released.

use crate::registry::ServiceId;

/// A walk over the services, in the order of the edges.
pub(super) struct Walk<'g> {
    /// For each service, the services that wait for it.
    waiting: &'g [Vec<ServiceId>],
    /// For each service, how many services still block it.
    blockers: Vec<u32>,
}

impl<'g> Walk<'g> {
    /// Creates a walk in which each service blocks the services that `waiting` lists for it.
    pub(super) fn new(waiting: &'g [Vec<ServiceId>]) -> Self {
        let mut blockers = vec![0; waiting.len()];
        for id in waiting.iter().flatten() {
            blockers[id.index()] += 1;
        }
        Walk { waiting, blockers }
    }

    /// Returns the services that nothing blocks, in order of registration.
    pub(super) fn free(&self) -> Vec<ServiceId> {
        let free = |id: &ServiceId| self.blockers[id.index()] == 0;
        (0..self.blockers.len()).map(ServiceId::new).filter(free).collect()
    }

    /// Releases a service, once in a walk. Returns the services that it was the last to block.
    pub(super) fn release(&mut self, id: ServiceId) -> impl Iterator<Item = ServiceId> {
        let blockers = &mut self.blockers;
        self.waiting[id.index()].iter().copied().filter(move |waiting| {
            blockers[waiting.index()] -= 1;
            blockers[waiting.index()] == 0
        })
    }
}

/// Turns the edges around: from the dependencies of each service to the dependents of each.
pub(super) fn dependents(dependencies: &[Vec<ServiceId>]) -> Vec<Vec<ServiceId>> {
    let mut dependents = vec![Vec::new(); dependencies.len()];
    for (index, dependencies) in dependencies.iter().enumerate() {
        dependencies.iter().for_each(|id| dependents[id.index()].push(ServiceId::new(index)));
    }
    dependents
}

#[cfg(test)]
mod tests {
    use super::{ServiceId, Walk, dependents};

    fn ids(indices: &[usize]) -> Vec<ServiceId> {
        indices.iter().copied().map(ServiceId::new).collect()
    }

    fn graph(dependencies: &[&[usize]]) -> Vec<Vec<ServiceId>> {
        dependencies.iter().map(|indices| ids(indices)).collect()
    }

    fn release(walk: &mut Walk<'_>, index: usize) -> Vec<ServiceId> {
        walk.release(ServiceId::new(index)).collect()
    }

    #[test]
    fn a_chain_is_walked_one_by_one_in_both_directions() {
        let dependencies = graph(&[&[], &[0], &[1]]);
        let up = dependents(&dependencies);
        let mut start = Walk::new(&up);
        assert_eq!(start.free(), ids(&[0]));
        assert_eq!(release(&mut start, 0), ids(&[1]));
        assert_eq!(release(&mut start, 1), ids(&[2]));
        let mut stop = Walk::new(&dependencies);
        assert_eq!(stop.free(), ids(&[2]));
        assert_eq!(release(&mut stop, 2), ids(&[1]));
    }

    #[test]
    fn a_service_is_free_only_when_all_its_blockers_are_released() {
        // 0 under 1 and 2, which are both under 3.
        let dependencies = graph(&[&[], &[0], &[0], &[1, 2]]);
        let up = dependents(&dependencies);
        let mut start = Walk::new(&up);
        assert_eq!(release(&mut start, 0), ids(&[1, 2]));
        assert_eq!(release(&mut start, 2), ids(&[]));
        assert_eq!(release(&mut start, 1), ids(&[3]));
        let mut stop = Walk::new(&dependencies);
        assert_eq!(release(&mut stop, 3), ids(&[1, 2]));
        assert_eq!(release(&mut stop, 1), ids(&[]));
        assert_eq!(release(&mut stop, 2), ids(&[0]));
    }

    #[test]
    fn independent_services_are_free_at_once() {
        let dependencies = graph(&[&[], &[], &[]]);
        assert_eq!(Walk::new(&dependencies).free(), ids(&[0, 1, 2]));
        assert_eq!(Walk::new(&dependents(&dependencies)).free(), ids(&[0, 1, 2]));
        assert!(Walk::new(&[]).free().is_empty());
    }
}
