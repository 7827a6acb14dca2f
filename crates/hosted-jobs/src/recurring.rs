//! Recurring jobs: a name, a schedule, a job, and what happens to due times that nobody was there for.

use crate::enqueue::Enqueue;
use crate::rules::Template;
use crate::rules::UniqueRequest;
use crate::spec::{Misfire, Spec};
use crate::store::ScheduleRow;
use crate::util::{Millis, millis};
use std::fmt;
use std::time::Duration;

/// A recurring job: "every night at three", "every 30 seconds". See [`Jobs::recurring`](crate::Jobs::recurring).
///
/// The due times are kept in the store. With any number of processes, each due time makes at most one job. A due time
/// that passes while no process runs is handled by its [`Misfire`] policy.
///
/// ```
/// use hosted_jobs::{Job, Misfire, Recurring};
/// use serde::{Deserialize, Serialize};
/// use std::time::Duration;
///
/// #[derive(Serialize, Deserialize)]
/// struct Report {}
/// impl Job for Report { const KIND: &'static str = "report"; }
///
/// # #[cfg(feature = "cron")] {
/// let nightly = Recurring::cron("nightly", "0 3 * * *", &Report {}).unwrap().zone("Europe/Berlin").unwrap();
/// let poll = Recurring::every("poll", Duration::from_secs(30), &Report {}).misfire(Misfire::Skip);
/// # let _ = (nightly, poll); }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a recurring job does nothing until it is declared with `Jobs::recurring`"]
pub struct Recurring {
    name: String,
    spec: Spec,
    misfire: Misfire,
    job: Enqueue,
}

/// What is wrong with a recurring job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecurringError(pub(crate) String);

impl fmt::Display for RecurringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RecurringError {}

impl Recurring {
    /// Creates a recurring job that is due by a cron expression, in the time zone of the system.
    ///
    /// See [`hosted::Schedule`] for the expression and for daylight saving time.
    ///
    /// # Errors
    ///
    /// If the expression is not valid.
    #[cfg(feature = "cron")]
    pub fn cron(
        name: impl Into<String>,
        expression: impl AsRef<str>,
        job: impl Into<Enqueue>,
    ) -> Result<Self, RecurringError> {
        let schedule = expression.as_ref().parse().map_err(|error: hosted::ScheduleError| error.to_string());
        let spec = Spec::Cron(Box::new(schedule.map_err(RecurringError)?));
        Ok(Recurring { name: name.into(), spec, misfire: Misfire::Once, job: job.into() })
    }

    /// Creates a recurring job that is due every `period`, for the first time one `period` after it is first declared.
    ///
    /// A period below one millisecond counts as one millisecond.
    pub fn every(name: impl Into<String>, period: Duration, job: impl Into<Enqueue>) -> Self {
        let spec = Spec::Every(millis(period).max(1));
        Recurring { name: name.into(), spec, misfire: Misfire::Once, job: job.into() }
    }

    /// Uses the time zone of that IANA name, for example `America/New_York` or `UTC`.
    ///
    /// # Errors
    ///
    /// If the time zone is not known, or the job is due at intervals, which have no time zone.
    #[cfg(feature = "cron")]
    pub fn zone(mut self, iana_name: &str) -> Result<Self, RecurringError> {
        let Spec::Cron(schedule) = self.spec else {
            return Err(RecurringError(format!("schedule `{}` has a period and no time zone", self.name)));
        };
        let schedule = schedule.in_time_zone(iana_name).map_err(|error| RecurringError(error.to_string()))?;
        self.spec = Spec::Cron(Box::new(schedule));
        Ok(self)
    }

    /// Sets what happens to due times that passed while no process was there. The default is [`Misfire::Once`].
    pub fn misfire(self, misfire: Misfire) -> Self {
        Recurring { misfire, ..self }
    }

    /// Returns the row of the store, for the program `program`.
    pub(crate) fn row(self, program: &str, max_payload: usize) -> Result<ScheduleRow, RecurringError> {
        let wrong = |why: String| RecurringError(format!("schedule `{}`: {why}", self.name));
        if self.name.is_empty() {
            return Err(RecurringError("a schedule needs a name".to_owned()));
        }
        let request = self.job.clone().into_request(max_payload).map_err(|error| wrong(error.to_string()))?;
        let unique = match request.unique {
            None => None,
            // Keys are JSON, and so are valid text.
            Some(UniqueRequest::Key(unique)) => {
                Some((String::from_utf8_lossy(&unique.key).into_owned(), unique.until_finished))
            }
            Some(UniqueRequest::Within(..)) => {
                return Err(wrong(
                    "its job cannot be `Unique::within`; use `until_started` or `until_finished`".into(),
                ));
            }
        };
        let template = Template {
            queue: request.queue,
            kind: request.kind,
            version: request.version,
            priority: request.priority,
            max_failures: request.max_failures,
            unique,
            limit: request.limit.map(|limit| (limit.key, limit.most)),
        };
        let template = serde_json::to_string(&template).map_err(|error| wrong(error.to_string()))?;
        Ok(ScheduleRow {
            name: self.name,
            program: program.to_owned(),
            spec: self.spec.to_string(),
            misfire: self.misfire.to_string(),
            template,
            payload: request.payload,
            next_at: None,
            last_at: None,
            missed: 0,
            paused: false,
            error: None,
        })
    }

    /// Returns what is wrong with the schedule: that it is never due.
    pub(crate) fn check(&self, now: Millis) -> Result<(), RecurringError> {
        match self.spec.next_after(now) {
            Some(_) => Ok(()),
            None => Err(RecurringError(format!("schedule `{}` is never due: `{}`", self.name, self.spec))),
        }
    }
}
