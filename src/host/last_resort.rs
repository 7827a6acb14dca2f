//! When, in a stop, services that hang on a socket are disconnected from it: those that say so.

use super::plan::Entry;
use crate::sync::left;
use std::time::{Duration, Instant};

/// Who may be disconnected is told to be done earlier than others, and is disconnected then: with a tenth of the stop's time
/// left, at least this, but at most half of it. An error has to make its way up, and a service to close.
const BEFORE: Duration = Duration::from_millis(100);

pub(super) struct LastResort {
    /// When to look next; `None`: nobody may be disconnected, or it is too late.
    pub(super) next: Option<Instant>,
}

impl LastResort {
    pub(super) fn new(entries: &[Entry], deadline: Option<Instant>) -> Self {
        let deadline = deadline.filter(|_| entries.iter().any(|entry| entry.options.disconnects));
        let next = deadline.and_then(|deadline| {
            let left = left(Some(deadline));
            deadline.checked_sub(BEFORE.max(left / 10).min(left / 2))
        });
        LastResort { next }
    }

    /// Disconnects those that were asked and have not ended. Again as often as half of the time that was left has passed: one
    /// that was not seen in its call will be, and one that connects anew has not much of that. Who is asked after the first
    /// look has less time than others, until the next one.
    #[cfg(feature = "disconnect")]
    pub(super) fn look(
        &mut self,
        board: &crate::board::Board,
        entries: &[Entry],
        asked: &[bool],
        deadline: Option<Instant>,
    ) {
        /// With less than this left it is of no use any more.
        const TOO_LATE: Duration = Duration::from_millis(10);
        if self.next.is_none_or(|at| crate::sync::now() < at) {
            return;
        }
        let may = |place: &usize| entries[*place].options.disconnects && asked[*place];
        // Each takes part of a millisecond: not of so many that the host would be late itself.
        let can = board.disconnect((0..entries.len()).filter(may).take_while(|_| !left(deadline).is_zero()));
        let left = left(deadline);
        self.next = (can && left > TOO_LATE).then(|| crate::sync::now() + left / 2);
    }
}

/// Says at the start, rather than at the stop, that nobody can be disconnected here.
#[cfg(feature = "disconnect")]
pub(super) fn check(entries: &[Entry]) {
    if !entries.iter().any(|entry| entry.options.disconnects) {
        return;
    }
    if let Err(error) = crate::blocked::check() {
        let text = format_args!("no service can be disconnected when it is hung: pidfd_getfd: {error}");
        crate::line::log(log::Level::Warn, "hosted::host", text);
    }
}
