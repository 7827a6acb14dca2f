//! The host at one moment, as every answer shows it.

use crate::registry::HostHandle;
use crate::report::{HostState, ServiceState, ServiceStatus};
use crate::util::sync::{Arc, now, system_now};
use std::time::{Duration, Instant, SystemTime};

/// The largest number of threads that one request inspects on demand. Inspecting a thread reads several files of `/proc`.
const MOST_INSPECTED: usize = 16;

pub(super) struct Picture {
    pub(super) at: SystemTime,
    at_instant: Instant,
    pub(super) host: HostState,
    pub(super) has_started: bool,
    pub(super) is_ready: bool,
    pub(super) is_live: bool,
    pub(super) services: Vec<ServiceStatus>,
}

impl Picture {
    pub(super) fn new(host: &HostHandle) -> Self {
        Picture {
            at: system_now(),
            at_instant: now(),
            host: host.state(),
            has_started: host.has_started(),
            is_ready: host.is_ready(),
            is_live: host.is_live(),
            services: host.services(),
        }
    }

    /// Finds out what the threads of the named services are blocked in. Returns the services beyond the limit.
    pub(super) fn inspect(&mut self, names: &[String]) -> Vec<Arc<str>> {
        let asked = |service: &&mut ServiceStatus| names.iter().any(|name| **name == *service.name);
        let (mut inspected, mut left) = (0, Vec::new());
        for service in self.services.iter_mut().filter(asked).filter(|service| service.blocked_in.is_none()) {
            if inspected == MOST_INSPECTED {
                left.push(service.name.clone());
            } else {
                inspected += 1;
                service.blocked_in = service.blocked_now();
            }
        }
        left
    }

    pub(super) fn age(&self, since: Instant) -> Duration {
        self.at_instant.saturating_duration_since(since)
    }

    /// The wall-clock time of `instant`, if nobody has set the clock since.
    pub(super) fn time_of(&self, instant: Instant) -> SystemTime {
        self.at.checked_sub(self.age(instant)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

pub(super) fn host_word(state: HostState) -> &'static str {
    match state {
        HostState::New => "new",
        HostState::Starting => "starting",
        HostState::Started => "started",
        HostState::Stopping => "stopping",
        HostState::Stopped => "stopped",
    }
}

pub(super) const HOST_STATES: [HostState; 5] =
    [HostState::New, HostState::Starting, HostState::Started, HostState::Stopping, HostState::Stopped];

pub(super) const SERVICE_STATES: [ServiceState; 10] = [
    ServiceState::Waiting,
    ServiceState::Starting,
    ServiceState::Running,
    ServiceState::Restarting,
    ServiceState::Stopping,
    ServiceState::Completed,
    ServiceState::Stopped,
    ServiceState::NotRestarted,
    ServiceState::Failed,
    ServiceState::Hung,
];

pub(super) const HEALTHS: [&str; 3] = ["healthy", "degraded", "stalled"];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::report::{Health, ServiceStatus};

    /// A service that has been in its state for a minute.
    pub(crate) fn service(name: &str, state: ServiceState, health: Health) -> ServiceStatus {
        ServiceStatus {
            name: name.into(),
            state,
            since: now().checked_sub(Duration::from_secs(60)).unwrap(),
            restarts: 0,
            errors: 0,
            ticks_missed: 0,
            health,
            ignores_failure: false,
            last_error: None,
            blocked_in: None,
            members: None,
            thread: None,
        }
    }

    pub(crate) fn degraded(reason: &str) -> Health {
        Health::Degraded { reason: reason.to_owned(), since: now().checked_sub(Duration::from_secs(5)).unwrap() }
    }

    pub(crate) fn stalled() -> Health {
        Health::Stalled { since: now().checked_sub(Duration::from_secs(42)).unwrap() }
    }

    /// A host that has started.
    pub(crate) fn picture(services: Vec<ServiceStatus>, is_ready: bool, is_live: bool) -> Picture {
        let (at, at_instant, host, has_started) = (system_now(), now(), HostState::Started, true);
        Picture { at, at_instant, host, has_started, is_ready, is_live, services }
    }

    #[test]
    fn every_state_has_a_word_and_a_place_in_the_metrics() {
        let words: Vec<&str> = HOST_STATES.map(host_word).to_vec();
        assert_eq!(words, ["new", "starting", "started", "stopping", "stopped"]);
        let healths = [Health::Healthy, degraded("x"), stalled()];
        assert_eq!(healths.each_ref().map(Health::word), HEALTHS);
    }
}
