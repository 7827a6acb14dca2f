//! The line that `systemctl status` shows: what the host is doing, and which services need attention.

use crate::diagnose::clause;
use crate::registry::HostHandle;
use crate::report::{Health, HostState, ServiceState, ServiceStatus};
use crate::util::text::Escaped;

/// A line names at most so many services of each kind, and counts the others.
const MAX_LISTED: usize = 5;

/// The maximum length of the line, in bytes. systemd ignores messages of more than 4,096 bytes.
const MAX_BYTES: usize = 1_000;

/// Returns the line for `systemctl status`, or `None` if the host has not begun to start.
pub(super) fn status_line(host: &HostHandle, is_draining: bool) -> Option<String> {
    let services = host.services();
    let all = count(services.len());
    let line = match host.state() {
        HostState::New => return None,
        HostState::Starting => {
            let started = services.iter().filter(|service| !is_before_run(service)).count();
            let waits = list(&services, "waiting for", |service| service.state == ServiceState::Starting, blocked);
            format!("starting: {started} of {all} started{waits}")
        }
        HostState::Started => format!("running: {all}"),
        HostState::Stopping if is_draining => format!("draining: {all}"),
        HostState::Stopping => {
            let waits = list(&services, "waiting for", |service| service.state == ServiceState::Stopping, blocked);
            format!("stopping{waits}")
        }
        HostState::Stopped => "stopped".to_owned(),
    };
    let line = format!("{line}{}", complaints(&services));
    Some(shortened(Escaped(&line).to_string()))
}

/// Returns the services that need attention, in any state of the host.
fn complaints(services: &[ServiceStatus]) -> String {
    let is_stalled = |service: &ServiceStatus| matches!(service.health, Health::Stalled { .. });
    let is_degraded = |service: &ServiceStatus| matches!(service.health, Health::Degraded { .. });
    let reason = |service: &ServiceStatus| match &service.health {
        Health::Degraded { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    let last_error = |service: &ServiceStatus| {
        let error = service.last_error.as_deref()?;
        Some(error.strip_prefix(&format!("service `{}` ", service.name)).unwrap_or(error).to_owned())
    };
    [
        list(services, "did not stop:", |service| service.state == ServiceState::Hung, blocked),
        list(services, "stalled:", is_stalled, blocked),
        list(services, "degraded:", is_degraded, reason),
        list(services, "restarting:", |service| service.state == ServiceState::Restarting, last_error),
        list(services, "failed:", |service| service.state == ServiceState::Failed, last_error),
    ]
    .concat()
}

fn is_before_run(service: &ServiceStatus) -> bool {
    matches!(service.state, ServiceState::Waiting | ServiceState::Starting)
}

fn blocked(service: &ServiceStatus) -> Option<String> {
    service.blocked_in.clone().or_else(|| service.blocked_now()).map(|call| clause(&call))
}

/// Returns `; title `a` (detail), `b``, or nothing if no service is listed.
fn list(
    services: &[ServiceStatus],
    title: &str,
    is_listed: impl Fn(&ServiceStatus) -> bool,
    detail: impl Fn(&ServiceStatus) -> Option<String>,
) -> String {
    let mut listed = services.iter().filter(|service| is_listed(service));
    let named = listed.by_ref().take(MAX_LISTED).map(|service| match detail(service) {
        Some(detail) => format!("`{}` ({detail})", service.name),
        None => format!("`{}`", service.name),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match (named.is_empty(), listed.count()) {
        (true, _) => String::new(),
        (false, 0) => format!("; {title} {named}"),
        (false, more) => format!("; {title} {named} and {more} more"),
    }
}

fn count(services: usize) -> String {
    if services == 1 { "1 service".to_owned() } else { format!("{services} services") }
}

fn shortened(mut line: String) -> String {
    if line.len() > MAX_BYTES {
        let end = (0..=MAX_BYTES).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, shortened};

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let cut = shortened("é".repeat(MAX_BYTES));
        assert_eq!(cut, format!("{}…", "é".repeat(MAX_BYTES / 2)));
    }
}
