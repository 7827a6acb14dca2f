//! The threads that wait for a queue to change: consumers that wait for an item, and producers that wait for room.

use crate::diagnose::Waits;
use crate::stop::{StopSource, StopToken};
use crate::util::time::remaining;
use std::collections::BTreeMap;
use std::time::Instant;

/// The threads that sleep on one side of a queue, in the order in which they came.
///
/// Each thread waits on its own stop source, which is linked to the stop token of its caller and is used only once. The thread
/// that wakes a sleeper takes the source off the list and stops it. A stop of the caller's token reaches the source as well,
/// before any callback of that token runs. So a callback that blocks cannot delay the sleeper.
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

/// The sleeps of one call of `push` or `take`, which may have to sleep several times.
pub(super) struct Sleeper<'a> {
    stop: &'a StopToken,
    until: Option<Instant>,
    /// The position on the list. It is kept from one sleep to the next, so that later callers do not overtake this one.
    ticket: Option<u64>,
    /// The token that ends the next sleep.
    wake_up: StopToken,
}

impl<'a> Sleeper<'a> {
    pub(super) fn new(stop: &'a StopToken, until: Option<Instant>) -> Self {
        Sleeper { stop, until, ticket: None, wake_up: StopToken::never() }
    }

    /// Returns `true` if the time limit has passed.
    pub(super) fn has_timed_out(&self) -> bool {
        self.until.is_some() && remaining(self.until).is_zero()
    }

    /// Joins the list before a sleep. The caller holds the lock of the queue, and has found nothing to do under the same lock.
    pub(super) fn register(&mut self, side: &mut Sleepers) {
        let source = StopSource::linked([self.stop]);
        self.wake_up = source.token();
        let ticket = *self.ticket.get_or_insert_with(|| {
            side.next_ticket += 1;
            side.next_ticket
        });
        side.asleep.insert(ticket, source);
    }

    /// Sleeps until another thread wakes this one, the stop is requested, or the time limit passes. The caller must not hold
    /// a lock.
    pub(super) fn sleep(&self, waits: Waits) {
        // The result is not used: the caller checks the queue, the stop and the time limit again after each sleep.
        _ = self.wake_up.wait_until(self.until, waits);
    }

    /// Leaves the list at the end of the call, whether or not this thread is still on it.
    pub(super) fn unregister(&self, side: &mut Sleepers) {
        if let Some(ticket) = self.ticket {
            side.asleep.remove(&ticket);
        }
    }
}
