//! `Restart`: when a service is restarted, and after which backoff.

use crate::report::BoxError;
use crate::util::text::HumanDuration;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;

/// A policy for when a service is restarted (Erlang: *restart type*; systemd: `Restart=`).
///
/// A restart uses the same thread and the same value. `stop` of the old run returns before `start` of the new run is called.
/// Between the two calls the service waits: this is the *backoff*. The first backoff is the shortest, and each further backoff is
/// twice as long, up to the longest. Each is shortened by up to a quarter at random, so that many services do not restart at the
/// same moment.
///
/// A stop request ends the backoff, and the service is not started again. If the service may then hold work that it has
/// accepted, such as items in a channel, use [`finish_on_stop`](Self::finish_on_stop).
///
/// ```
/// use hosted::Restart;
/// use std::time::Duration;
///
/// let restart = Restart::on_failure()
///     .backoff(Duration::from_millis(200)..=Duration::from_secs(10))
///     .give_up_after(5)
///     .stable_after(Duration::from_secs(30));
/// # let _ = restart;
/// ```
#[derive(Clone, Debug)]
#[must_use = "has no effect until passed to `ServiceOptions::restart`"]
#[doc(alias("RestartPolicy", "permanent", "transient", "temporary", "supervisor"))]
pub struct Restart {
    mode: RestartMode,
    backoff: RangeInclusive<Duration>,
    limit: u32,
    stable_after: Duration,
    first_start: bool,
    finish: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RestartMode {
    Never,
    OnFailure,
    Always,
}

impl Restart {
    /// Never restarts the service: the first failure is final. This is the default. Erlang: `temporary`.
    pub fn never() -> Self {
        Self::with_mode(RestartMode::Never)
    }

    pub(crate) fn is_never(&self) -> bool {
        self.mode == RestartMode::Never
    }

    /// Restarts the service after an error or a panic, but not if it completed. Erlang: `transient`.
    pub fn on_failure() -> Self {
        Self::with_mode(RestartMode::OnFailure)
    }

    /// Restarts the service after a failure, and also if it completed without a stop request. Erlang: `permanent`.
    pub fn always() -> Self {
        Self::with_mode(RestartMode::Always)
    }

    /// Sets the shortest and the longest backoff (default: 100 ms to 30 s).
    ///
    /// A range whose start is above its end is an error of [`Host::start`](crate::Host::start).
    pub fn backoff(mut self, range: RangeInclusive<Duration>) -> Self {
        self.backoff = range;
        self
    }

    /// Sets the maximum number of restarts in a row (default: 10). After them, the next failure or completion is a final failure.
    ///
    /// With the default backoff the service then gives up after an outage of 60 to 80 seconds. Restarts count as "in a row" until one run
    /// lasts as long as [`stable_after`](Self::stable_after).
    pub fn give_up_after(mut self, restarts: u32) -> Self {
        self.limit = restarts;
        self
    }

    /// Sets how long a run must last to count as stable (default: 60 s). A stable run resets the count of restarts. With
    /// `Duration::ZERO` every run is stable, so the service never gives up.
    pub fn stable_after(mut self, run: Duration) -> Self {
        self.stable_after = run;
        self
    }

    /// Also retries the first start, within its start timeout. Without this option, a failure of the first start makes
    /// [`Host::start`](crate::Host::start) return an error at once. On [`never`](Self::never) it changes nothing.
    pub fn also_first_start(mut self) -> Self {
        self.first_start = true;
        self
    }

    /// After a stop request, gives a service that has failed one last run, so that it can finish the work that it has accepted.
    ///
    /// Without this policy, a stop request during a backoff ends the service: `run` is not called again, work that the
    /// service had accepted stays undone, and the outcome in the report is [`Outcome::NotRestarted`](crate::Outcome::NotRestarted). With
    /// this policy:
    ///
    /// - A stop request during a backoff ends the backoff at once. `start`, `run` and `stop` are called once more. The stop
    ///   token is stopped already: `start` and `run` must not wait on it, or they return `Stopped` at once.
    /// - If that run fails, or if `run` fails after the stop request, the service tries again. The backoff continues to grow, and is
    ///   never longer than half of the time until [`stop_deadline`](crate::Context::stop_deadline).
    /// - If there is no time left, or after [`give_up_after`](Self::give_up_after) restarts, the failure is final, and is a
    ///   failure of the host.
    ///
    /// A service that was never ready has nothing to finish, and is not started again. On [`never`](Self::never) this
    /// changes nothing. A [`group`](crate::group) with this policy starts its services afresh, and then stops them.
    ///
    /// ```
    /// use hosted::{Host, Outcome, Restart, worker};
    /// use std::sync::mpsc::channel;
    /// use std::time::Duration;
    ///
    /// let (orders, accepted) = channel();
    /// let (store, stored) = channel();
    /// let mut locked = true;
    /// let mut host = Host::new();
    /// host.add("store", worker(move |ctx| {
    ///     if std::mem::take(&mut locked) {
    ///         return Err("database is locked".into());
    ///     }
    ///     loop {
    ///         for order in accepted.try_iter() {
    ///             store.send(order)?; // also after the stop request: every order that was accepted
    ///         }
    ///         ctx.sleep(Duration::from_millis(10))?;
    ///     }
    /// }))
    /// .restart(Restart::on_failure().backoff(Duration::from_secs(60)..=Duration::from_secs(60)).finish_on_stop());
    /// host.start().unwrap();
    /// orders.send("three apples").unwrap();
    /// while host.handle().services()[0].errors == 0 {
    ///     std::thread::yield_now(); // until it has failed, and waits to be restarted
    /// }
    /// let report = host.stop(Duration::from_secs(10)).unwrap();
    /// assert!(matches!(report.services[0].outcome, Outcome::Stopped));
    /// assert_eq!(stored.try_recv(), Ok("three apples"));
    /// ```
    #[doc(alias("drain", "flush", "graceful"))]
    pub fn finish_on_stop(mut self) -> Self {
        self.finish = true;
        self
    }

    fn with_mode(mode: RestartMode) -> Self {
        let backoff = Duration::from_millis(100)..=Duration::from_secs(30);
        let stable_after = Duration::from_secs(60);
        Restart { mode, backoff, limit: 10, stable_after, first_start: false, finish: false }
    }

    /// Returns an error of `Host::start` if the policy is not valid.
    pub(crate) fn validate(&self) -> Result<(), BoxError> {
        let (min, max) = (HumanDuration(*self.backoff.start()), HumanDuration(*self.backoff.end()));
        match self.backoff.is_empty() {
            true => Err(format!("minimum restart backoff ({min}) exceeds the maximum ({max})").into()),
            false => Ok(()),
        }
    }

    pub(crate) fn retries_first_start(&self) -> bool {
        self.first_start && self.retries_failure()
    }

    pub(crate) fn retries_failure(&self) -> bool {
        self.mode != RestartMode::Never
    }

    pub(crate) fn finishes_on_stop(&self) -> bool {
        self.finish && self.retries_failure()
    }

    pub(crate) fn retries_completion(&self) -> bool {
        self.mode == RestartMode::Always
    }

    pub(crate) fn backoff_of_runs(&self) -> Backoff<'_> {
        Backoff { policy: self, restarts: 0, longest: *self.backoff.start() }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self::never()
    }
}

/// Counts the restarts in a row of one service, and computes its backoffs.
pub(crate) struct Backoff<'a> {
    policy: &'a Restart,
    restarts: u32,
    /// The next backoff, before its random reduction.
    longest: Duration,
}

/// A backoff of zero cannot be doubled. If the shortest backoff is zero, the second one has this length.
const SHORTEST_DOUBLED: Duration = Duration::from_millis(1);

impl Backoff<'_> {
    /// Returns the backoff after a run that lasted for `ran_for`. Returns `None` if the limit of restarts is reached.
    pub(crate) fn next(&mut self, ran_for: Duration) -> Option<Duration> {
        let (min, max) = (*self.policy.backoff.start(), *self.policy.backoff.end());
        if ran_for >= self.policy.stable_after {
            *self = self.policy.backoff_of_runs();
        }
        if self.restarts >= self.policy.limit {
            return None;
        }
        let longest = self.longest;
        let doubled = if longest.is_zero() { SHORTEST_DOUBLED } else { longest.saturating_mul(2) };
        (self.restarts, self.longest) = (self.restarts + 1, doubled.min(max));
        Some((longest - (longest / 4).mul_f64(jitter())).max(min))
    }
}

/// Returns a random number between zero and one. The hash seeds of the standard library are random enough for a backoff.
fn jitter() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}
