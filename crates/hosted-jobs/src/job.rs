//! The trait `Job`: data with a name. And `Options`: how jobs of a kind are queued, retried and limited.

use crate::error::{BoxError, Decision};
use crate::util::{Millis, millis, random_between};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Work that is stored: data that serializes, and a name for its kind.
///
/// A job is data only. The function that runs it is registered where workers run, with
/// [`Handlers::handle`](crate::Handlers::handle). A program that only enqueues needs the struct and nothing else.
///
/// ```
/// use hosted_jobs::{Job, Options};
/// use serde::{Deserialize, Serialize};
/// use std::time::Duration;
///
/// #[derive(Serialize, Deserialize)]
/// struct SendMail { to: String }
///
/// impl Job for SendMail {
///     const KIND: &'static str = "mail.send";
///
///     fn options() -> Options {
///         Options::new().queue("mail").timeout(Duration::from_secs(30))
///     }
/// }
/// ```
#[doc(alias("IJob", "Worker", "task"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a job",
    note = "implement `hosted_jobs::Job` for it, and derive `Serialize` and `Deserialize`"
)]
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// The name of this kind of job in the store.
    ///
    /// Jobs outlive the program that stored them, so the name must not change when a type is moved or renamed. Use
    /// [`Handlers::alias`](crate::Handlers::alias) if it must change.
    const KIND: &'static str;

    /// The version of the data. Increase it when the form of the data changes.
    ///
    /// A worker never takes a job whose version is newer than the version of its own type. See
    /// [`Handlers::handle_version`](crate::Handlers::handle_version) for older versions.
    const VERSION: u32 = 1;

    /// Returns how jobs of this kind are queued, retried and limited. The default is [`Options::new`].
    fn options() -> Options {
        Options::new()
    }
}

/// How jobs of a kind are queued, retried and limited.
#[derive(Clone)]
#[must_use]
pub struct Options {
    pub(crate) queue: &'static str,
    pub(crate) priority: i32,
    pub(crate) max_failures: u32,
    pub(crate) timeout: Option<Duration>,
    pub(crate) backoff: Backoff,
    pub(crate) on_error: Option<ErrorPolicy>,
}

type ErrorPolicy = Arc<dyn Fn(&BoxError, u32) -> Decision + Send + Sync>;

/// The failures after which a job is dead, unless its options say otherwise.
const MAX_FAILURES: u32 = 20;

impl Options {
    /// Returns the defaults: queue `default`, priority 0, dead after 20 failures, no timeout, [`Backoff::default`].
    pub fn new() -> Self {
        Options {
            queue: "default",
            priority: 0,
            max_failures: MAX_FAILURES,
            timeout: None,
            backoff: Backoff::default(),
            on_error: None,
        }
    }

    /// Sets the queue. The default is `default`.
    pub fn queue(self, name: &'static str) -> Self {
        Options { queue: name, ..self }
    }

    /// Sets the priority. Workers take jobs with a lower number first. The default is 0.
    pub fn priority(self, priority: i32) -> Self {
        Options { priority, ..self }
    }

    /// Sets after how many failures a job is dead. The default is 20. 1 means that a failed job is not retried.
    ///
    /// Zero counts as one.
    #[doc(alias("max_attempts", "retries"))]
    pub fn max_failures(self, failures: u32) -> Self {
        Options { max_failures: failures.max(1), ..self }
    }

    /// Sets how long a job may run. The default is no limit.
    ///
    /// When the time has passed, the job's stop token is stopped and
    /// [`JobContext::stop_cause`](crate::JobContext::stop_cause) is `TimedOut`. The job is not started again while it
    /// still runs. Its result decides what happens next; if it returns the error of the stop, the job has failed.
    pub fn timeout(self, limit: Duration) -> Self {
        Options { timeout: Some(limit), ..self }
    }

    /// Sets how long a failed job waits for its next run.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Options { backoff, ..self }
    }

    /// Decides by the error, and by the number of failures including this one, what happens to a failed job.
    ///
    /// The function is not called for an error that decides itself, such as
    /// [`JobError::dead`](crate::JobError::dead).
    ///
    /// ```
    /// use hosted_jobs::{Decision, Options};
    /// use std::io;
    ///
    /// Options::new().on_error(|error, _| match error.downcast_ref::<io::Error>() {
    ///     Some(error) if error.kind() == io::ErrorKind::NotFound => Decision::Dead,
    ///     _ => Decision::Retry,
    /// });
    /// ```
    pub fn on_error(self, decide: impl Fn(&BoxError, u32) -> Decision + Send + Sync + 'static) -> Self {
        Options { on_error: Some(Arc::new(decide)), ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("queue", &self.queue)
            .field("priority", &self.priority)
            .field("max_failures", &self.max_failures)
            .field("timeout", &self.timeout)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

/// How long a failed job waits for its next run.
///
/// The time after the `n`-th failure is `first × factor^(n-1)`, at most `longest`, and of that a random part between
/// the half and the whole. So jobs that failed together do not return together.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Backoff {
    first: Duration,
    factor: f64,
    longest: Duration,
}

impl Backoff {
    /// Creates a backoff that starts at `first`, and is multiplied by `factor` after each failure, up to `longest`.
    ///
    /// A factor below 1 counts as 1.
    pub fn new(first: Duration, factor: f64, longest: Duration) -> Self {
        let factor = if factor.is_finite() { factor.max(1.0) } else { 1.0 };
        Backoff { first, factor, longest }
    }

    /// Creates a backoff that is always `time`, of which a random part between the half and the whole is waited.
    pub fn constant(time: Duration) -> Self {
        Backoff::new(time, 1.0, time)
    }

    /// Returns a random wait after the `failures`-th failure, in milliseconds.
    pub(crate) fn draw(&self, failures: u32) -> Millis {
        let whole = self.whole(failures);
        let high = whole.unsigned_abs();
        Millis::try_from(random_between(high.div_ceil(2), high)).unwrap_or(whole)
    }

    fn whole(&self, failures: u32) -> Millis {
        let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
        let grown = self.first.as_secs_f64() * self.factor.powi(exponent);
        let longest = self.longest.as_secs_f64();
        // An infinite product is longer than the longest wait.
        let seconds = if grown.is_finite() { grown.min(longest) } else { longest };
        Duration::try_from_secs_f64(seconds).map_or(millis(self.longest), millis)
    }
}

impl Default for Backoff {
    /// 6 seconds, times 3 after each failure, at most 6 hours: 20 failures take between 1.5 and 3 days.
    fn default() -> Self {
        Backoff::new(Duration::from_secs(6), 3.0, Duration::from_secs(6 * 3600))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backoff_is_random_between_the_half_and_the_whole() {
        let backoff = Backoff::default();
        for (failures, whole) in [(1, 6_000), (2, 18_000), (3, 54_000), (20, 21_600_000), (u32::MAX, 21_600_000)] {
            for _ in 0..200 {
                let wait = backoff.draw(failures);
                assert!((whole / 2..=whole).contains(&wait), "{wait} after {failures} failures");
            }
        }
    }

    #[test]
    fn a_backoff_of_zero_waits_not_at_all() {
        assert_eq!(Backoff::constant(Duration::ZERO).draw(1), 0);
    }
}
