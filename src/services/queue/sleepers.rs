//! Threads that wait for a queue to change: consumers for an item, producers for room.

use crate::diagnose::Waits;
use crate::stop::{StopSource, StopToken};
use crate::util::time::remaining;
use std::collections::BTreeMap;
use std::time::Instant;

/// The threads that sleep on one side of a queue, in the order in which they came.
///
/// Each of them waits on a one-shot stop source that is linked to the stop token of its caller. Whoever wakes it takes
/// the source off the list and stops it. A stop of the caller's token reaches the source as well, before any callback of
/// that token runs, so a callback that blocks cannot delay it.
#[derive(Default)]
pub(super) struct Sleepers {
    asleep: BTreeMap<u64, StopSource>,
    next_ticket: u64,
}

impl Sleepers {
    /// Takes the first sleeper off the list.
    pub(super) fn pop(&mut self) -> Option<StopSource> {
        self.asleep.pop_first().map(|(_, source)| source)
    }
}

/// One call that may sleep, possibly several times.
pub(super) struct Sleeper<'a> {
    stop: &'a StopToken,
    until: Option<Instant>,
    /// The place on the list. It is kept from one sleep to the next, so that newcomers do not overtake the caller.
    ticket: Option<u64>,
    /// What the next sleep waits on.
    alarm: StopToken,
}

impl<'a> Sleeper<'a> {
    pub(super) fn new(stop: &'a StopToken, until: Option<Instant>) -> Self {
        Sleeper { stop, until, ticket: None, alarm: StopToken::never() }
    }

    /// Returns `true` if there is no time left for a sleep.
    pub(super) fn is_late(&self) -> bool {
        self.until.is_some() && remaining(self.until).is_zero()
    }

    /// Goes on the list. The caller holds the queue's lock, and has found nothing to do under the same lock.
    pub(super) fn lie_down(&mut self, side: &mut Sleepers) {
        let source = StopSource::linked([self.stop]);
        self.alarm = source.token();
        let ticket = *self.ticket.get_or_insert_with(|| {
            side.next_ticket += 1;
            side.next_ticket
        });
        side.asleep.insert(ticket, source);
    }

    /// Sleeps until somebody wakes this thread, the stop is requested, or the time is over. No lock is held.
    pub(super) fn sleep(&self, waits: Waits) {
        // Whether it was the time or the alarm that ended the sleep shows when the caller looks at the queue again.
        _ = self.alarm.wait_until(self.until, waits);
    }

    /// Leaves the list for good, whether or not this thread is still on it.
    pub(super) fn get_up(&self, side: &mut Sleepers) {
        if let Some(ticket) = self.ticket {
            side.asleep.remove(&ticket);
        }
    }
}
