//! `HostError`: a host that did not start, or did not stop cleanly.

use super::error::{BoxError, ServiceError};
use super::outcome::Outcome;
use super::service_report::Report;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// A host that did not start, or did not end well.
///
/// `Display` and `Debug` are the report for a person, because `main` prints `Debug`. Returned from `main` it makes
/// exit code 1; [`exit_code`](Self::exit_code) tells abandoned threads apart.
///
/// ```
/// use hosted::{Host, worker};
///
/// let mut host = Host::new();
/// host.add("importer", worker(|_| Err("connection refused".into())));
/// let error = host.run().unwrap_err();
/// assert_eq!(error.failures()[0].service(), "importer");
/// assert!(error.to_string().contains("connection refused"));
/// ```
pub struct HostError(Box<Inner>);

struct Inner {
    setup: Option<BoxError>,
    /// The host has run, whatever is wrong with its set-up: there is a report to show.
    has_run: bool,
    failures: Vec<ServiceError>,
    report: Report,
}

impl HostError {
    pub(crate) fn new(setup: Option<BoxError>, failures: Vec<ServiceError>, report: Report) -> Self {
        HostError(Box::new(Inner { setup, has_run: false, failures, report }))
    }

    /// The error of a host that has run although `setup` is wrong.
    pub(crate) fn of_run(setup: Option<BoxError>, failures: Vec<ServiceError>, report: Report) -> Self {
        HostError(Box::new(Inner { setup, has_run: true, failures, report }))
    }

    /// What went wrong in the services, the root cause first.
    ///
    /// Empty when it was the set-up (a bad name, a service that was added after the start, no thread to be had, the signal handler taken: then
    /// [`source`](Error::source) says it), and when the host was asked to stop while it was starting (then the
    /// [`report`](Self::report) has the reason). A service whose thread is still alive is in it as
    /// [`TimedOut`](crate::Cause::TimedOut). Failures of services that say `on_failure(Ignore)` are not: they are
    /// in the report alone.
    pub fn failures(&self) -> &[ServiceError] {
        &self.0.failures
    }

    /// 124 where threads had to be abandoned (as `timeout(1)` says it), else 1.
    pub fn exit_code(&self) -> ExitCode {
        let hung = self.0.report.services.iter().any(|service| matches!(service.outcome, Outcome::Hung(_)));
        ExitCode::from(if hung { 124 } else { 1 })
    }

    /// What became of every service.
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// The report of a start that was ended by a stop request, which is nobody's failure.
    pub(crate) fn into_interrupted(self) -> Result<Report, HostError> {
        if self.0.setup.is_none() && self.0.failures.is_empty() { Ok(self.0.report) } else { Err(self) }
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_run = self.0.has_run;
        if let Some(setup) = &self.0.setup {
            let lead = if has_run { "" } else { "the host did not start: " };
            write!(f, "{lead}{setup}")?;
        }
        match (&self.0.setup, self.failures()) {
            (Some(_), []) if !has_run => return Ok(()),
            (Some(_), []) => {}
            (None, []) => write!(f, "the host was stopped while it was starting")?,
            (_, failures) => {
                for (n, failure) in failures.iter().enumerate() {
                    let lead = if n == 0 && self.0.setup.is_none() { "" } else { "\nalso: " };
                    write!(f, "{lead}{failure}")?;
                }
            }
        }
        write!(f, "\n{}", self.0.report)
    }
}

impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for HostError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.0.setup, self.failures().first()) {
            (Some(setup), _) => Some(&**setup),
            (None, first) => first.map(|failure| failure as &(dyn Error + 'static)),
        }
    }
}
