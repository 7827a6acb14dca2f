//! The outcome: what the registry knows, as the result of `start`, `stop` and `run`.

use super::Host;
use super::validate::SetupError;
use crate::report::{BoxError, HostError, Report, ServiceError, StopReason};

impl Host {
    /// The report, or an error with everything that went wrong.
    pub(super) fn result(&self) -> Result<Report, HostError> {
        let (failures, report) = self.outcome();
        let late = self.added_late.clone().map(SetupError::AddedLate);
        if failures.is_empty() && late.is_none() {
            return Ok(report);
        }
        Err(HostError::of_run(late.map(BoxError::from), failures, report))
    }

    pub(super) fn error(&self, setup: Option<BoxError>) -> HostError {
        let (failures, report) = self.outcome();
        HostError::new(setup, failures, report)
    }

    /// The error of a start that did not begin. Its report has the services as they are.
    pub(super) fn refused(&self, setup: SetupError) -> HostError {
        let (_, mut report) = self.outcome();
        report.reason = StopReason::Failed(setup.culprit().cloned().unwrap_or_else(|| "host".into()));
        HostError::new(Some(setup.into()), Vec::new(), report)
    }

    fn outcome(&self) -> (Vec<ServiceError>, Report) {
        let (reason, began, took) = self.registry.stop_summary();
        let (failures, services) = self.registry.outcome(began);
        let reason = reason.unwrap_or(StopReason::Requested);
        (failures, Report { host: self.registry.name(), reason, services, took })
    }
}
