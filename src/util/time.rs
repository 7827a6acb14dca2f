//! Deadlines. `None` is a deadline so far away that an `Instant` cannot represent it; it is never reached.

use super::sync::now;
use std::time::{Duration, Instant};

/// Returns the instant `after` from now, or `None` if an `Instant` cannot represent it.
pub(crate) fn deadline(after: Duration) -> Option<Instant> {
    now().checked_add(after)
}

/// Returns the time until `deadline`, or `Duration::MAX` if there is no deadline.
pub(crate) fn remaining(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(now()))
}

/// Returns the time since `at`, or zero if `at` is in the future.
pub(crate) fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
}
