//! How the time of a stop is shared out, as pure functions.

use std::time::Duration;

/// With less than this left, all services that have not received their stop request receive it.
const HURRY: Duration = Duration::from_millis(10);

/// And so much earlier for each of them: to request a stop takes some microseconds, and the threads that wake up meanwhile take
/// the processor for as long.
const HURRY_EACH: Duration = Duration::from_micros(20);

/// A service is told to be done a little before the host gives up on it: 5 % of the time left, at least this, at most a quarter.
const MARGIN: Duration = Duration::from_millis(20);

/// A stop that finds itself so long after its end was frozen meanwhile, together with its services: by SIGSTOP, a debugger, or
/// a machine that was suspended.
pub(super) const FROZEN: Duration = Duration::from_millis(100);

/// Then its services have so long to do what they could not while they were frozen.
pub(super) const LAST_MOMENT: Duration = Duration::from_millis(250);

/// A group waits so much longer than the outermost host, whose affair it is to name who is left.
pub(super) const LATER: Duration = Duration::from_millis(100);

/// How long before the deadline of a stop of `total` all `unasked` services receive their request: a quarter of it at most.
pub(super) fn lead(unasked: usize, total: Duration) -> Duration {
    let each = HURRY_EACH.saturating_mul(u32::try_from(unasked).unwrap_or(u32::MAX));
    HURRY.saturating_add(each).min(total / 4)
}

/// How long before the end of a stop a service should have ended that receives its request with `left` to go.
pub(super) fn margin(left: Duration) -> Duration {
    MARGIN.max(left / 20).min(left / 4)
}

#[cfg(test)]
mod tests {
    use super::{lead, margin};
    use std::time::Duration;

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
        for (unasked, total, expected) in [(1, 10_000, 10), (10_000, 10_000, 210), (10_000, 500, 125), (1, 0, 0)] {
            assert_eq!(lead(unasked, millis(total)).as_millis(), expected, "{unasked} in {total} ms");
        }
        assert!(lead(usize::MAX, Duration::MAX) < Duration::MAX);
    }
}
