//! How the time of a shutdown is shared out: pure arithmetic of instants.

use crate::registry::StopBy;
use crate::util::time::{deadline, remaining};
use std::time::{Duration, Instant};

/// If less time than this is left, every service receives its stop request.
const URGENT_BELOW: Duration = Duration::from_millis(10);

/// The additional lead for each service. A request takes some microseconds, and the threads that wake up meanwhile use the
/// processor for as long.
const URGENT_EACH: Duration = Duration::from_micros(20);

/// The deadline of a service is a little before the end of the shutdown: 5 % of the time left, at least this, at most a
/// quarter.
const DEADLINE_MARGIN: Duration = Duration::from_millis(20);

/// If a shutdown is this late, the whole process was frozen: by SIGSTOP, by a debugger, or because the machine was suspended.
const FROZEN: Duration = Duration::from_millis(100);

/// The additional time that services have after a freeze.
const LAST_MOMENT: Duration = Duration::from_millis(250);

/// How much longer a group waits than the outermost host, which names the services that are left.
const GROUP_DELAY: Duration = Duration::from_millis(100);

/// How long threads that have exited may take to be joined, beyond the end. They need microseconds; a thread-local
/// destructor may need forever.
pub(super) const JOIN_GRACE: Duration = Duration::from_millis(60);

/// The time of one shutdown.
pub(super) struct StopBudget {
    /// Every service receives its stop request before the deadline.
    deadline: Option<Instant>,
    /// The shutdown waits until the end for what is left. For the outermost host, that is the deadline.
    end: Option<Instant>,
    /// How long the shutdown has from its beginning to the deadline.
    total: Duration,
    /// The shutdown belongs to a group, and the outer host has set its time.
    is_group: bool,
    /// The shutdown was frozen, and has used its additional time.
    was_frozen: bool,
}

impl StopBudget {
    pub(super) fn new(timeout: Duration) -> Self {
        let end = deadline(timeout);
        StopBudget { deadline: end, end, total: timeout, is_group: false, was_frozen: false }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn end(&self) -> Option<Instant> {
        self.end
    }

    /// Returns until when the outermost host waits.
    pub(super) fn end_of_all(&self) -> Option<Instant> {
        if self.is_group { self.end.and_then(|end| end.checked_sub(GROUP_DELAY)) } else { self.end }
    }

    /// Returns `true` if `by` leaves less time than this budget has.
    pub(super) fn is_more_than(&self, by: &StopBy) -> bool {
        let is_later = |own: Option<Instant>, than: Instant| own.is_none_or(|own| than < own);
        let end = by.end.and_then(|end| end.checked_add(GROUP_DELAY));
        is_later(self.deadline, by.deadline) || end.is_some_and(|end| is_later(self.end, end))
    }

    /// Records that the outer host leaves no more time than until `by`.
    pub(super) fn shorten(&mut self, by: StopBy) {
        self.deadline = self.deadline.into_iter().chain([by.deadline]).min();
        self.end = self.end.into_iter().chain(by.end.and_then(|end| end.checked_add(GROUP_DELAY))).min();
        self.total = remaining(self.deadline);
        self.is_group = true;
    }

    /// Grants more time, once, if the shutdown finds at `now` that it was frozen beyond its end. Returns `true` if the
    /// deadline of the services has changed.
    pub(super) fn grant_last_moment(&mut self, now: Instant) -> bool {
        // For a group, the outermost host decides whether there was a freeze.
        let frozen = if self.is_group { Duration::ZERO } else { FROZEN };
        let is_over = |end: Instant| now.checked_duration_since(end).is_some_and(|late| late >= frozen);
        // A shutdown without any time waits for nobody, even if its requests take a while.
        if self.was_frozen || self.total.is_zero() || !self.end.is_some_and(is_over) {
            return false;
        }
        self.was_frozen = true;
        if self.is_group {
            self.end = now.checked_add(LAST_MOMENT + GROUP_DELAY);
            return false;
        }
        self.end = now.checked_add(LAST_MOMENT);
        self.deadline = self.end;
        true
    }

    /// Returns the deadline of a service that receives its request at `now`.
    pub(super) fn service_deadline(&self, now: Instant) -> Option<Instant> {
        if self.is_group {
            return self.deadline; // the outer host has already taken the margin
        }
        let left = remaining(self.deadline);
        now.checked_add(left - margin(left))
    }

    /// Returns how long a service that receives its request now may hold up its dependencies.
    pub(super) fn longest_hold(&self) -> Duration {
        remaining(self.deadline) / 2
    }

    /// Returns `true` if no time is left for an order among `unrequested` services.
    pub(super) fn is_urgent(&self, unrequested: usize) -> bool {
        remaining(self.deadline) <= urgent_lead(unrequested, self.total)
    }

    /// Returns the time from which on no time is left for an order.
    pub(super) fn urgent_from(&self, unrequested: usize) -> Option<Instant> {
        self.deadline?.checked_sub(urgent_lead(unrequested, self.total))
    }
}

/// Returns how long before the deadline of a shutdown of `total` all `unrequested` services receive their request: at
/// most a quarter of `total`.
fn urgent_lead(unrequested: usize, total: Duration) -> Duration {
    let each = URGENT_EACH.saturating_mul(u32::try_from(unrequested).unwrap_or(u32::MAX));
    URGENT_BELOW.saturating_add(each).min(total / 4)
}

/// Returns how long before the end of a shutdown a service should have stopped that receives its request with `left` to
/// go.
fn margin(left: Duration) -> Duration {
    DEADLINE_MARGIN.max(left / 20).min(left / 4)
}

#[cfg(test)]
mod tests {
    use super::{GROUP_DELAY, LAST_MOMENT, StopBudget, StopBy, margin, urgent_lead};
    use std::time::{Duration, Instant};

    const fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_margin_is_a_twentieth_at_least_20_ms_and_at_most_a_quarter() {
        let all = [(10_000, 500), (400, 20), (100, 20), (40, 10), (0, 0)];
        for (left, expected) in all {
            assert_eq!(margin(millis(left)), millis(expected), "{left} ms");
        }
        assert!(margin(Duration::MAX) < Duration::MAX);
    }

    #[test]
    fn many_requests_begin_earlier_but_never_take_more_than_a_quarter() {
        for (unrequested, total, expected) in [(1, 10_000, 10), (10_000, 10_000, 210), (10_000, 500, 125), (1, 0, 0)] {
            assert_eq!(urgent_lead(unrequested, millis(total)).as_millis(), expected, "{unrequested} in {total} ms");
        }
        assert!(urgent_lead(usize::MAX, Duration::MAX) < Duration::MAX);
    }

    #[test]
    fn a_group_has_no_more_time_than_its_host_leaves_and_takes_no_second_margin() {
        let mut budget = StopBudget::new(Duration::from_secs(100));
        let now = Instant::now();
        let by = StopBy { deadline: now + millis(9_500), end: Some(now + millis(10_000)) };
        assert!(budget.is_more_than(&by));
        budget.shorten(by);
        assert!(!budget.is_more_than(&by));
        assert_eq!(budget.service_deadline(now), Some(by.deadline));
        assert_eq!(budget.end_of_all(), by.end);
        assert_eq!(budget.end(), by.end.map(|end| end + GROUP_DELAY));
        let later = StopBy { deadline: now + millis(20_000), end: None };
        assert!(!budget.is_more_than(&later));
    }

    #[test]
    fn a_freeze_beyond_the_end_is_followed_by_one_last_moment() {
        let mut budget = StopBudget::new(Duration::from_secs(1));
        let end = budget.end().unwrap();
        assert!(!budget.grant_last_moment(end), "at the end there was no freeze");
        let thawed = end + Duration::from_secs(3_600);
        assert!(budget.grant_last_moment(thawed));
        assert_eq!((budget.deadline(), budget.end()), (Some(thawed + LAST_MOMENT), Some(thawed + LAST_MOMENT)));
        assert!(!budget.grant_last_moment(thawed + Duration::from_secs(3_600)), "once");
    }
}
