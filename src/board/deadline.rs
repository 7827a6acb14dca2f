//! The deadline that a service is given: code that runs until then hears of it, also when it moves.

#[cfg(all(feature = "io", target_os = "linux"))]
use super::Board;
use crate::stop::StopSource;
#[cfg(all(feature = "io", target_os = "linux"))]
use crate::stop::StopToken;
use crate::sync::left;
use std::time::{Duration, Instant};

/// How long before the deadline a queue's job is told that its time is up: a tenth of the time that is left, at least
/// this, but at most half. Without this lead, the job would hear of it at the deadline itself, and what it then does to
/// finish (a goodbye to a peer, the grace of a child process) would have no time at all.
const LEAST_LEAD: Duration = Duration::from_millis(100);

/// Stops `time_up` a lead before `deadline`.
pub(crate) fn arm(time_up: &StopSource, deadline: Option<Instant>) {
    let left = left(deadline);
    // Without a deadline `left` is `Duration::MAX`, and nine tenths of that are forever, too.
    let lead = (left / 10).max(LEAST_LEAD).min(left / 2);
    time_up.request_stop_at(crate::sync::deadline(left - lead));
}

#[cfg(all(feature = "io", target_os = "linux"))]
impl Board {
    /// The deadline of a service, and a token that is stopped when it is set or moved.
    pub(crate) fn watch_deadline(&self, index: usize) -> (Option<Instant>, StopToken) {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            let moved = slot.deadline_moved.get_or_insert_with(StopSource::new);
            // Linked, so that a descriptor made for it goes with the caller, and not with the board.
            (slot.stop_deadline, StopSource::linked([&moved.token()]).token())
        })
    }
}
