//! When, in a stop, services that hang on a socket are disconnected from it: those that say so.

use super::plan::Entry;
use crate::sync::left;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Who may be disconnected is told to be done earlier than others, and is disconnected then: with a tenth of the stop's time
/// left, at least this, but at most half of it. An error has to make its way up, and a service to close.
const BEFORE: Duration = Duration::from_millis(100);

/// So much earlier for each service that may be disconnected: looking at its threads and their sockets takes about as long.
const EACH: Duration = Duration::from_micros(400);

/// For so long at a time services are disconnected. Between two such slices the stop goes on: others receive their request,
/// and those that end let go of what they depend on.
#[cfg(feature = "disconnect")]
const SLICE: Duration = Duration::from_millis(3);

pub(super) struct LastResort {
    /// When everyone's time is up, also of those who have more of their own.
    of_all: Option<Instant>,
    /// When to look at whom.
    due: BTreeSet<(Instant, usize)>,
}

impl LastResort {
    /// Of a stop of these services by `deadline`.
    pub(super) fn new(deadline: Option<Instant>, entries: &[Entry]) -> Self {
        let services = entries.iter().filter(|entry| entry.options.disconnects).count();
        let each = EACH.saturating_mul(u32::try_from(services).unwrap_or(u32::MAX));
        let of_all = deadline.and_then(|deadline| {
            let left = left(Some(deadline));
            deadline.checked_sub(BEFORE.saturating_add(each).max(left / 10).min(left / 2))
        });
        LastResort { of_all, due: BTreeSet::new() }
    }

    /// For how long, from `now` on, one that is asked may go on. Asked after everyone's time, it has half of what is left.
    pub(super) fn time(&self, now: Instant, deadline: Option<Instant>) -> Duration {
        let time = self.of_all.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        if time.is_zero() { left(deadline) / 2 } else { time }
    }

    /// This one is looked at when its time is up, and never if that is `None`.
    pub(super) fn note(&mut self, place: usize, limit: Option<Instant>) {
        self.due.extend(limit.map(|at| (at, place)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|due| due.0)
    }

    /// Disconnects those whose time is up. Again when half of what was left of the stop has passed, or as much as they had of
    /// their own: one that was not seen in its call will be, and one that connects anew has not much of that.
    #[cfg(feature = "disconnect")]
    pub(super) fn look(&mut self, board: &crate::board::Board, entries: &[Entry], deadline: Option<Instant>) {
        /// With less than this left it is of no use any more. And nobody is looked at more often.
        const SHORTEST: Duration = Duration::from_millis(10);
        let now = crate::sync::now();
        if self.next().is_none_or(|at| now < at) {
            return;
        }
        let later = self.due.split_off(&(now, usize::MAX));
        let mut due = std::mem::replace(&mut self.due, later);
        let (slice, mut looked_at) = (crate::sync::deadline(SLICE).into_iter().chain(deadline).min(), Vec::new());
        let mut can = true;
        while can && !left(slice).is_zero() {
            let Some((_, place)) = due.pop_first() else { break };
            can = board.disconnect(std::iter::once(place));
            looked_at.push(place);
        }
        self.due.append(&mut due); // still due: the others come in the next slices
        if !can || left(deadline) <= SHORTEST {
            return self.due.clear();
        }
        let alive = |place: &usize| board.read(|inner| !inner.slots[*place].gone());
        for place in looked_at.into_iter().filter(alive) {
            let own = entries[place].options.stop_timeout.unwrap_or(Duration::MAX).max(SHORTEST);
            self.note(place, crate::sync::deadline(own.min(left(deadline) / 2)));
        }
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
