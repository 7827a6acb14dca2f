//! Which services have exceeded their stop timeout: those that are alive when a dependency receives its stop request.

use super::graph::dependents;
use crate::registry::{Registry, ServiceId};
use std::collections::HashSet;

pub(super) struct EarlyStops {
    dependents: Vec<Vec<ServiceId>>,
    /// The services that this shutdown has recorded: a service may have several dependencies.
    recorded: HashSet<ServiceId>,
}

impl EarlyStops {
    pub(super) fn new(dependencies: &[Vec<ServiceId>]) -> Self {
        EarlyStops { dependents: dependents(dependencies), recorded: HashSet::new() }
    }

    /// The service is about to receive its stop request. Records every service that is alive and depends on it, directly
    /// or through services that have exited, such as start-up tasks.
    pub(super) fn record(&mut self, registry: &Registry, id: ServiceId) {
        let (mut above, mut seen) = (vec![id], HashSet::new());
        while let Some(id) = above.pop() {
            for &dependent in &self.dependents[id.index()] {
                if !seen.insert(dependent) {
                    continue;
                }
                if registry.is_over(dependent) {
                    above.push(dependent);
                } else if self.recorded.insert(dependent) {
                    registry.record_stop_timeout(dependent);
                }
            }
        }
    }
}
