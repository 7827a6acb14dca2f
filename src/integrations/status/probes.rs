//! The probes: 200 or 503, and a text that names the culprits.
//!
//! The first line is the verdict. Each line after it names a service and why it counts.

use super::picture::{Picture, host_word};
use crate::diagnose::clause;
use crate::report::{Health, HostState, ServiceState, ServiceStatus};
use crate::util::text::{Escaped, HumanDuration};
use std::fmt::Write;

/// A verdict, and the text for it.
pub(super) type Verdict = (bool, String);

/// Live: no service is hung or stalled. Otherwise only a new process helps.
pub(super) fn live(picture: &Picture) -> Verdict {
    let culprits = picture.services.iter().filter(|service| is_stuck(service));
    verdict(picture, picture.is_live, "live", "not live", culprits)
}

/// Ready: the host takes work. It has started, no stop is requested, and every service whose failure counts is healthy.
pub(super) fn ready(picture: &Picture) -> Verdict {
    let counts = |service: &&ServiceStatus| match picture.host {
        HostState::Started => service.health != Health::Healthy && !service.ignores_failure,
        HostState::Stopping | HostState::Stopped => is_on_its_way_out(service),
        _ => is_on_its_way_in(service),
    };
    let reason = match picture.host {
        // The drain: load balancers have this time to notice.
        HostState::Started if picture.services.iter().filter(counts).count() == 0 => "not ready: a stop is requested",
        HostState::Started => "not ready: services are unhealthy",
        HostState::Stopping => "not ready: the host is stopping",
        HostState::Stopped => "not ready: the host has stopped",
        HostState::New | HostState::Starting => "not ready: the host is starting",
    };
    verdict(picture, picture.is_ready, "ready", reason, picture.services.iter().filter(counts))
}

/// Started: every service has started once. It stays so during the stop.
pub(super) fn started(picture: &Picture) -> Verdict {
    let culprits = picture.services.iter().filter(|service| is_on_its_way_in(service));
    let reason = format!("not started: the host is {}", host_word(picture.host));
    verdict(picture, picture.has_started, "started", &reason, culprits)
}

fn verdict<'a>(
    picture: &Picture,
    is_well: bool,
    well: &str,
    reason: &str,
    culprits: impl Iterator<Item = &'a ServiceStatus>,
) -> Verdict {
    if is_well {
        return (true, format!("{well}\n"));
    }
    let mut text = format!("{reason}\n");
    for service in culprits {
        text += &line(picture, service);
    }
    (false, text)
}

/// `broker: running for 3.20 s, degraded for 1.00 s: no connection`.
fn line(picture: &Picture, service: &ServiceStatus) -> String {
    let (name, state) = (Escaped(&service.name), service.state);
    let mut text = format!("{name}: {state} for {}", HumanDuration(picture.age(service.since)));
    let health = service.health.word();
    // Writing to a `String` cannot fail.
    match &service.health {
        Health::Healthy => {}
        Health::Degraded { reason, since } => {
            let age = HumanDuration(picture.age(*since));
            _ = write!(text, ", {health} for {age}: {}", Escaped(reason));
        }
        Health::Stalled { since } => _ = write!(text, ", {health} for {}", HumanDuration(picture.age(*since))),
    }
    if let Some(blocked_in) = &service.blocked_in {
        _ = write!(text, ", {}", Escaped(&clause(blocked_in)));
    }
    text + "\n"
}

pub(super) fn is_stuck(service: &ServiceStatus) -> bool {
    service.state == ServiceState::Hung || matches!(service.health, Health::Stalled { .. })
}

pub(super) fn is_degraded(service: &ServiceStatus) -> bool {
    matches!(service.health, Health::Degraded { .. })
}

fn is_on_its_way_in(service: &ServiceStatus) -> bool {
    use ServiceState::{Failed, Restarting, Starting, Waiting};
    matches!(service.state, Waiting | Starting | Restarting) || service.state == Failed && !service.ignores_failure
}

fn is_on_its_way_out(service: &ServiceStatus) -> bool {
    use ServiceState::{Failed, Hung, Stopping};
    matches!(service.state, Stopping | Hung) || service.state == Failed && !service.ignores_failure
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::{degraded, picture, service, stalled};
    use super::*;
    use ServiceState::{Completed, Failed, Hung, Running};

    #[test]
    fn a_degraded_service_makes_the_host_not_ready_and_is_named_with_its_reason() {
        let ignored = ServiceStatus { ignores_failure: true, ..service("mail", Running, degraded("no relay")) };
        let services =
            vec![service("api", Running, Health::Healthy), service("broker", Running, degraded("no\nroute"))];
        let (is_ready, text) = ready(&picture([services, vec![ignored.clone()]].concat(), false, true));
        assert_eq!(
            (is_ready, text.as_str()),
            (
                false,
                "not ready: services are unhealthy\nbroker: running for 60.00 s, degraded for 5.00 s: no\\nroute\n",
            )
        );
        assert_eq!(ready(&picture(vec![ignored], true, true)), (true, "ready\n".to_owned()));
    }

    #[test]
    fn a_host_that_drains_is_not_ready_though_every_service_is_well() {
        let services = vec![service("api", Running, Health::Healthy), service("migrate", Completed, Health::Healthy)];
        let verdict = ready(&picture(services, false, true));
        assert_eq!(verdict, (false, "not ready: a stop is requested\n".to_owned()));
    }

    #[test]
    fn stalled_and_hung_services_make_the_host_not_live_and_are_named() {
        let services = vec![
            service("api", Running, Health::Healthy),
            service("import", Running, stalled()),
            service("reader", Hung, Health::Healthy),
            service("statistics", Failed, Health::Healthy),
        ];
        let (is_live, text) = live(&picture(services, true, false));
        assert!(!is_live);
        assert_eq!(text, "not live\nimport: running for 60.00 s, stalled for 42.00 s\nreader: hung for 60.00 s\n");
    }
}
