//! How it ended: what the board knows, as the result of `start`, `stop` and `run`.

use super::Host;
use super::validate::SetupError;
use crate::report::{BoxError, Cause, HostError, Report, ServiceError, StopReason};
use std::time::Duration;

impl Host {
    /// How it ended, with everything that went wrong.
    pub(super) fn result(&self) -> Result<Report, HostError> {
        let (failures, report) = (self.failures(), self.report());
        let late = self.added_late.clone().map(SetupError::AddedLate);
        if failures.is_empty() && late.is_none() {
            return Ok(report);
        }
        Err(HostError::of_run(late.map(BoxError::from), failures, report))
    }

    pub(super) fn error(&self, setup: Option<BoxError>) -> HostError {
        HostError::new(setup, self.failures(), self.report())
    }

    /// The error of a start that did not even begin: of the services it says how they are.
    pub(super) fn refused(&self, setup: SetupError) -> HostError {
        let mut report = self.report();
        report.reason = StopReason::Failed(setup.culprit().cloned().unwrap_or_else(|| "host".into()));
        HostError::new(Some(setup.into()), Vec::new(), report)
    }

    fn report(&self) -> Report {
        let (reason, began, ended) =
            self.board.read(|inner| (inner.reason.clone(), inner.stop_began, inner.stop_ended));
        let took = began.zip(ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
        let services = self.board.reports(began);
        Report { reason: reason.unwrap_or(StopReason::Requested), services, took }
    }

    /// The final failures, the first one first, and then who is hung.
    fn failures(&self) -> Vec<ServiceError> {
        self.board.read(|inner| {
            let timed_out = |error: &ServiceError| matches!(error.cause(), Cause::TimedOut(_));
            let hung = inner.slots.iter().filter_map(|slot| {
                let hung = slot.hung.as_ref().filter(|_| !slot.failure.as_ref().is_some_and(timed_out))?;
                Some(ServiceError::new(slot.name.clone(), hung.phase, Cause::TimedOut(hung.waited)))
            });
            inner.failures.iter().cloned().chain(hung).collect()
        })
    }
}
