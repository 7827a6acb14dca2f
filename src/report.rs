//! What became of a host's services: `Report`, and `HostError` where that is not well.

use crate::error::{BoxError, ServiceError};
use crate::line::{Plain, Seconds, columns};
use crate::status::{HungService, Outcome, StopReason};
use crate::sync::Arc;
use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

/// What became of each service.
///
/// `Display` draws the stop as a timeline, a bar a service, so that one look tells who took the time.
///
/// ```
/// use hosted::{Host, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
/// host.start().unwrap();
/// let report = host.stop(Duration::from_secs(10)).unwrap();
/// assert!(matches!(report.services[0].outcome, hosted::Outcome::Stopped));
/// println!("{report}");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Why the host stopped.
    pub reason: StopReason,
    /// Every service, in order of registration; a group's children follow it.
    pub services: Vec<ServiceReport>,
    /// How long the stop took.
    pub took: Duration,
}

/// What became of one service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name; a group's children are `group/child`.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was started again.
    pub restarts: u32,
    /// How many errors it had: failed runs, and what it or its ticks and jobs reported.
    pub errors: u64,
    /// How long its first start took, from its thread's making to ready. Zero if it was never ready.
    pub start_took: Duration,
    /// How long it took to end once asked to. Zero if it was not asked.
    pub stop_took: Duration,
    /// Those it depends on were asked to stop before it had ended, because it took too long.
    pub overtaken: bool,
    /// What its threads were blocked in when they were disconnected from it, as the last resort: with the feature
    /// `disconnect`, of one that [may be](crate::ServiceOptions#method.disconnect_when_hung).
    pub disconnected: Vec<HungService>,
    /// When it was asked, after the stop began.
    pub(crate) asked_after: Option<Duration>,
}

/// How many characters a bar of the timeline has at most.
const WIDTH: u32 = 40;

/// A name longer than this sticks out of its column, instead of making all the others as long; nor can the standard
/// library pad to more than 65,535.
const LONG: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped in {}: {}", Seconds(self.took), self.reason)?;
        let names: Vec<String> = self.services.iter().map(|service| Plain(&service.name).to_string()).collect();
        let width = names.iter().map(|name| columns(name)).max().unwrap_or(0).min(LONG);
        for (service, name) in self.services.iter().zip(names) {
            let pad = width.saturating_sub(columns(&name));
            let row = format!("{name}{:pad$}  {:13}{}", "", service.outcome.word(), service.details(self.took));
            write!(f, "\n  {}", row.trim_end())?;
        }
        Ok(())
    }
}

impl ServiceReport {
    /// What there is to say beyond the outcome.
    fn details(&self, whole: Duration) -> String {
        let mut text = String::new();
        if let Some(asked_after) = self.asked_after {
            let bar = bar(asked_after, self.stop_took, whole);
            text += &format!("  |{bar}| {}", Seconds(self.stop_took));
        }
        if self.overtaken {
            text += "  overtaken";
        }
        for HungService { blocked_in, .. } in &self.disconnected {
            text += &format!("  disconnected from: {}", Plain(blocked_in.as_deref().unwrap_or("its socket")));
        }
        if self.restarts > 0 {
            text += &format!("  restarts: {}", self.restarts);
        }
        if self.errors > 0 {
            text += &format!("  errors: {}", self.errors);
        }
        match &self.outcome {
            Outcome::Hung(hung) => text += &format!("  {hung}"),
            Outcome::NotRestarted(error) => text += &format!("  was waiting to be restarted after: {error}"),
            _ => {}
        }
        text
    }
}

/// From when to when, of the whole: at least one mark, and never beyond the end.
fn bar(from: Duration, took: Duration, whole: Duration) -> String {
    let place = |at: Duration| {
        let share = if whole.is_zero() { 0.0 } else { at.as_secs_f64() / whole.as_secs_f64() };
        ((share * f64::from(WIDTH)).round() as usize).min(WIDTH as usize)
    };
    let begin = place(from).min(WIDTH as usize - 1);
    let end = place(from + took).max(begin + 1);
    format!("{}{}{}", " ".repeat(begin), "#".repeat(end - begin), " ".repeat(WIDTH as usize - end))
}

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
