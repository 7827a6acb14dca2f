//! What tests read from reports, errors and handles.

use hosted::{BlockedThread, HostError, HostHandle, Outcome, Phase, Report, ServiceState};

/// The service and the phase of each failure, in order.
pub(crate) fn failures(error: &HostError) -> Vec<(&str, Phase)> {
    error.failures().iter().map(|failure| (failure.service(), failure.phase())).collect()
}

/// The hung thread of the service at this position.
pub(crate) fn hung(report: &Report, position: usize) -> &BlockedThread {
    match &report.services[position].outcome {
        Outcome::Hung(hung) => hung,
        other => panic!("not hung: {other:?} in\n{report}"),
    }
}

/// The names of the services that exceeded their stop timeouts.
pub(crate) fn stop_timed_out(report: &Report) -> Vec<&str> {
    report.services.iter().filter(|service| service.stop_timed_out).map(|service| &*service.name).collect()
}

/// The state of each service, in the order in which they were added.
pub(crate) fn states(host: &HostHandle) -> Vec<ServiceState> {
    host.services().iter().map(|service| service.state).collect()
}
