//! Reads reports, errors and handles for the tests.

use hosted::{BlockedThread, HostError, HostHandle, Outcome, Phase, Report, ServiceState};

/// Returns the service and the phase of each failure, in order.
pub(crate) fn failures(error: &HostError) -> Vec<(&str, Phase)> {
    error.failures().iter().map(|failure| (failure.service(), failure.phase())).collect()
}

/// Returns the hung thread of the service at this position.
pub(crate) fn hung(report: &Report, position: usize) -> &BlockedThread {
    match &report.services[position].outcome {
        Outcome::Hung(hung) => hung,
        other => panic!("not hung: {other:?} in\n{report}"),
    }
}

/// Returns the names of the services that exceeded their stop timeouts.
pub(crate) fn stop_timed_out(report: &Report) -> Vec<&str> {
    report.services.iter().filter(|service| service.stop_timed_out).map(|service| &*service.name).collect()
}

/// Returns the state of each service, in the order in which they were added.
pub(crate) fn states(host: &HostHandle) -> Vec<ServiceState> {
    host.services().iter().map(|service| service.state).collect()
}
