//! The outcome: what the registry knows, as the result of `start`, `stop` and `run`.

use super::Host;
use super::validate::SetupError;
use crate::report::{BoxError, HostError, Report, StopReason};

impl Host {
    /// The report, or an error with everything that went wrong.
    pub(super) fn result(&self) -> Result<Report, HostError> {
        let (failures, report) = (self.registry.failures(), self.report());
        let late = self.added_late.clone().map(SetupError::AddedLate);
        if failures.is_empty() && late.is_none() {
            return Ok(report);
        }
        Err(HostError::of_run(late.map(BoxError::from), failures, report))
    }

    pub(super) fn error(&self, setup: Option<BoxError>) -> HostError {
        HostError::new(setup, self.registry.failures(), self.report())
    }

    /// The error of a start that did not begin. Its report has the services as they are.
    pub(super) fn refused(&self, setup: SetupError) -> HostError {
        let mut report = self.report();
        report.reason = StopReason::Failed(setup.culprit().cloned().unwrap_or_else(|| "host".into()));
        HostError::new(Some(setup.into()), Vec::new(), report)
    }

    fn report(&self) -> Report {
        let (reason, began, took) = self.registry.stop_summary();
        let services = self.registry.reports(began);
        Report { host: self.registry.name(), reason: reason.unwrap_or(StopReason::Requested), services, took }
    }
}
