//! The threads that wait for a queue to change: consumers that wait for an item, and producers that wait for room.

use crate::clock::Clock;
use crate::diagnose::Waits;
use crate::stop::{StopSource, StopToken};
use crate::util::sync::now;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The threads that sleep on one side of a queue, in the order in which they came.
///
/// Each thread waits on its own stop source, which is linked to the stop token of its caller and is used only once. The thread
/// that wakes a sleeper takes the source off the list and stops it. A stop of the caller's token reaches the source as well,
/// before any callback of that token runs. So a callback that blocks cannot delay the sleeper.
#[derive(Default)]
pub(super) struct Sleepers {
    asleep: BTreeMap<u64, Asleep>,
    next_ticket: u64,
}

struct Asleep {
    source: StopSource,
    /// The number of items, or the room for items, that this thread waits for. At least one.
    wants: usize,
}

impl Sleepers {
    /// Takes the first sleeper off the list that wants at most `available`.
    ///
    /// Only a batch consumer wants more than one. So the search ends at the first sleeper that is no batch consumer.
    pub(super) fn pop(&mut self, available: usize) -> Option<StopSource> {
        if available == 0 {
            return None; // everybody wants at least one
        }
        let ticket = self.asleep.iter().find(|(_, asleep)| asleep.wants <= available).map(|(ticket, _)| *ticket)?;
        self.asleep.remove(&ticket).map(|asleep| asleep.source)
    }
}

/// The sleeps of one call of `push` or `take`, which may have to sleep several times.
pub(super) struct Sleeper<'a> {
    stop: &'a StopToken,
    /// The clock of the time limit. `None` is the system clock.
    clock: Option<&'a Clock>,
    until: Option<Instant>,
    /// The position on the list. It is kept from one sleep to the next, so that later callers do not overtake this one.
    ticket: Option<u64>,
    /// The token that ends the next sleep.
    wake_up: StopToken,
}

impl<'a> Sleeper<'a> {
    /// Sleeps until `until` at most, by the system clock.
    pub(super) fn new(stop: &'a StopToken, until: Option<Instant>) -> Self {
        Sleeper { stop, clock: None, until, ticket: None, wake_up: StopToken::never() }
    }

    /// Sleeps for `limit` at most, by `clock`.
    pub(super) fn with_limit(stop: &'a StopToken, clock: &'a Clock, limit: Duration) -> Self {
        Sleeper { clock: Some(clock), ..Sleeper::new(stop, clock.now().checked_add(limit)) }
    }

    /// Returns `true` if the time limit has passed.
    pub(super) fn has_timed_out(&self) -> bool {
        self.until.is_some_and(|until| until <= self.clock.map_or_else(now, Clock::now))
    }

    /// Joins the list before a sleep, until `wants` items, or the room for them, are there. The caller holds the lock of the
    /// queue, and has found nothing to do under the same lock.
    pub(super) fn register(&mut self, side: &mut Sleepers, wants: usize) {
        let source = StopSource::linked([self.stop]);
        self.wake_up = source.token();
        let ticket = *self.ticket.get_or_insert_with(|| {
            side.next_ticket += 1;
            side.next_ticket
        });
        side.asleep.insert(ticket, Asleep { source, wants });
    }

    /// Sleeps until another thread wakes this one, the stop is requested, or the time limit passes. The caller must not hold
    /// a lock.
    pub(super) fn sleep(&self, waits: Waits) {
        // The result is not used: the caller checks the queue, the stop and the time limit again after each sleep.
        match (self.clock, self.until) {
            (None, until) => _ = self.wake_up.wait_until(until, waits),
            (Some(clock), Some(until)) => _ = clock.sleep_until(until, &self.wake_up, waits),
            (Some(clock), None) => _ = clock.sleep(Duration::MAX, &self.wake_up, waits),
        }
    }

    /// Leaves the list at the end of the call, whether or not this thread is still on it.
    pub(super) fn unregister(&self, side: &mut Sleepers) {
        if let Some(ticket) = self.ticket {
            side.asleep.remove(&ticket);
        }
    }
}
