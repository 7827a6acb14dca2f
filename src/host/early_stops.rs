//! Which services have exceeded their stop timeout: the services that are alive when a dependency receives its stop
//! request.

use super::graph::dependents;
use crate::registry::{Registry, ServiceId};
use std::collections::HashSet;

pub(super) struct EarlyStops {
    dependents: Vec<Vec<ServiceId>>,
    /// The services that this shutdown has recorded. It avoids a second record for a service with several dependencies.
    recorded: HashSet<ServiceId>,
}

impl EarlyStops {
    pub(super) fn new(dependencies: &[Vec<ServiceId>]) -> Self {
        EarlyStops { dependents: dependents(dependencies), recorded: HashSet::new() }
    }

    /// Records every live service that depends on this one, directly or through services that have exited, such as
    /// start-up tasks. This service is about to receive its stop request.
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
