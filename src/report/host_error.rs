//! `HostError`: the error of a host that did not start, that had failures, or that did not stop in time.

use super::error::{BoxError, ServiceError};
use super::outcome::Outcome;
use super::service_report::Report;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// The error of a host that did not start, that had failures, or that did not stop in time.
///
/// `Display` and `Debug` print all failures and the [`Report`], because Rust prints the `Debug` text of an error that `main`
/// returns. Returning this error from `main` results in exit code 1. [`exit_code`](Self::exit_code) also reports threads that
/// did not end.
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
    /// The host has run although its set-up had an error, so the report is shown.
    has_run: bool,
    failures: Vec<ServiceError>,
    report: Report,
}

impl HostError {
    pub(crate) fn new(setup: Option<BoxError>, failures: Vec<ServiceError>, report: Report) -> Self {
        HostError(Box::new(Inner { setup, has_run: false, failures, report }))
    }

    /// Creates the error of a host that has run although its set-up had the error `setup`.
    pub(crate) fn of_run(setup: Option<BoxError>, failures: Vec<ServiceError>, report: Report) -> Self {
        HostError(Box::new(Inner { setup, has_run: true, failures, report }))
    }

    /// Returns the failures of the services, with the root cause first.
    ///
    /// A service whose thread is still alive is included as [`TimedOut`](crate::Cause::TimedOut). A failure of a service with
    /// [`OnFailure::Ignore`](crate::OnFailure::Ignore) is not included; it is only in the report.
    ///
    /// The slice is empty in two cases:
    ///
    /// - The set-up failed: for example, a name is invalid, a thread cannot be created, or the signal handler cannot be
    ///   installed. [`source`](Error::source) then returns the error.
    /// - A stop was requested during start-up. The [`report`](Self::report) then has the reason.
    pub fn failures(&self) -> &[ServiceError] {
        &self.0.failures
    }

    /// Returns exit code 124 if the thread of a service did not end, and 1 otherwise. `timeout(1)` uses 124 too.
    ///
    /// ```
    /// use hosted::{Host, worker};
    /// use std::process::ExitCode;
    ///
    /// fn main() -> ExitCode {
    ///     let mut host = Host::new();
    ///     host.add("importer", worker(|_| Ok(())));
    ///     match host.run() {
    ///         Ok(_) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             error.exit_code()
    ///         }
    ///     }
    /// }
    /// ```
    pub fn exit_code(&self) -> ExitCode {
        let hung = self.0.report.services.iter().any(|service| matches!(service.outcome, Outcome::Hung(_)));
        ExitCode::from(if hung { 124 } else { 1 })
    }

    /// Returns how each service ended.
    pub fn report(&self) -> &Report {
        &self.0.report
    }

    /// Returns the report if the start was only interrupted by a stop request, which is not a failure.
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
            (None, []) => write!(f, "stop requested during start-up")?,
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
