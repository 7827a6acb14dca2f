//! Records what a thread waits for in this library. For the kernel, every such wait is just a futex.

use crate::util::sync::{Gauge, Ordering, now};
use crate::util::text::HumanDuration;
use std::time::{Duration, Instant};

/// The kinds of waits in this library, on the thread of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Stop,
    Sleep,
    Message,
    Tick,
    Schedule,
    Job,
    MoreJobs,
    Retry,
    Room,
    Turn,
    Child,
    Pause,
    Started,
    Restart,
    Services,
    Callback,
    Member,
    MemberRoom,
}

/// All kinds of waits. A `WaitSlot` stores the position in this list, plus one.
const ALL: [Waits; 18] = [
    Waits::Stop,
    Waits::Sleep,
    Waits::Message,
    Waits::Tick,
    Waits::Schedule,
    Waits::Job,
    Waits::MoreJobs,
    Waits::Retry,
    Waits::Room,
    Waits::Turn,
    Waits::Child,
    Waits::Pause,
    Waits::Started,
    Waits::Restart,
    Waits::Services,
    Waits::Callback,
    Waits::Member,
    Waits::MemberRoom,
];

impl Waits {
    pub(super) fn text(self) -> &'static str {
        match self {
            Waits::Stop => "waiting for the stop",
            Waits::Sleep => "sleeping",
            Waits::Message => "waiting for a message",
            Waits::Tick => "waiting for the next tick",
            Waits::Schedule => "waiting for its schedule",
            Waits::Job => "waiting for a job",
            Waits::MoreJobs => "waiting for more jobs",
            Waits::Retry => "waiting to retry a batch",
            Waits::Room => "waiting for room in a queue",
            Waits::Turn => "waiting for its turn to read",
            Waits::Child => "waiting for a child process",
            Waits::Pause => "waiting for the end of a pause after an error",
            Waits::Started => "waiting for the host to start",
            Waits::Restart => "waiting for its restart",
            Waits::Services => "waiting for its services",
            Waits::Callback => "waiting for its stop callback",
            Waits::Member => "waiting for a member of a dynamic group",
            Waits::MemberRoom => "waiting for room in a dynamic group",
        }
    }
}

/// What one thread waits for now. Only that thread writes the slot: two plain stores before it blocks, and one after.
///
/// A reader may see the two halves of different waits. A sleep of the thread lies within one wait, so the reader uses the
/// slot only if the thread stayed in one sleep while it was read.
pub(super) struct WaitSlot {
    /// Deadlines are stored as milliseconds since this instant.
    created: Instant,
    /// The lowest byte is the position in `ALL` plus one, or 0 for no wait. The other bits are the upper 24 bits of the
    /// deadline.
    kind_and_high: Gauge,
    /// The lower 32 bits of the deadline. A wait without a deadline sets all 56 bits.
    low: Gauge,
}

/// A wait without a deadline. The other 56-bit values are milliseconds: 2 million years.
const NEVER: u64 = (1 << 56) - 1;

impl WaitSlot {
    pub(super) fn new() -> Self {
        WaitSlot { created: now(), kind_and_high: Gauge::new(0), low: Gauge::new(0) }
    }

    /// Returns `false` if the thread is inside another wait. The outer wait knows better what it is for, so it stays.
    #[inline]
    pub(super) fn begin(&self, kind: Waits, until: Option<Instant>) -> bool {
        if self.kind_and_high.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let millis = until.map_or(NEVER, |at| {
            let at = at.saturating_duration_since(self.created);
            at.as_secs().saturating_mul(1_000).saturating_add(at.subsec_millis().into()).min(NEVER)
        });
        self.low.store(millis as u32, Ordering::Relaxed);
        let (high, kind) = ((millis >> 32) as u32, kind as u32 + 1);
        self.kind_and_high.store(high << 8 | kind, Ordering::Release);
        true
    }

    #[inline]
    pub(super) fn end(&self) {
        self.kind_and_high.store(0, Ordering::Release);
    }

    /// Returns what the thread waits for, and the time until the deadline of the wait.
    pub(super) fn read(&self) -> Option<(Waits, Option<Duration>)> {
        let kind_and_high = self.kind_and_high.load(Ordering::Acquire);
        let kind = *ALL.get((kind_and_high & 0xff).checked_sub(1)? as usize)?;
        let millis = u64::from(kind_and_high >> 8) << 32 | u64::from(self.low.load(Ordering::Relaxed));
        let until = (millis != NEVER).then(|| self.created.checked_add(Duration::from_millis(millis))).flatten();
        Some((kind, until.map(|at| at.saturating_duration_since(now()))))
    }
}

/// Returns the remaining time of a wait, as the end of its description: `, 3.10 s left`.
pub(super) fn describe_remaining(time: Option<Duration>) -> String {
    time.map(|time| format!(", {} left", HumanDuration(time))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{ALL, WaitSlot, Waits};
    use std::time::Duration;

    #[test]
    fn every_kind_of_wait_is_read_as_it_was_written() {
        let slot = WaitSlot::new();
        assert_eq!(slot.read(), None);
        for (place, waits) in ALL.into_iter().enumerate() {
            assert_eq!(place, waits as usize, "`ALL` must have the order of the enum");
            assert!(slot.begin(waits, None));
            assert_eq!(slot.read(), Some((waits, None)));
            slot.end();
            assert_eq!(slot.read(), None);
        }
    }

    #[test]
    fn an_outer_wait_is_not_replaced_by_a_wait_inside_it() {
        let slot = WaitSlot::new();
        assert!(slot.begin(Waits::Schedule, None) && !slot.begin(Waits::Sleep, None));
        assert_eq!(slot.read(), Some((Waits::Schedule, None)));
    }

    #[test]
    fn a_deadline_is_stored_to_the_millisecond_no_matter_how_far_away_it_is() {
        let slot = WaitSlot::new();
        for millis in [0, 1, 255, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 48) + 7] {
            let left = Duration::from_millis(millis);
            let Some(until) = slot.created.checked_add(left) else { continue };
            assert!(slot.begin(Waits::Sleep, Some(until)));
            let Some((Waits::Sleep, Some(read))) = slot.read() else { panic!("{millis}") };
            // Some time has passed since `begin`. Nothing else may be missing from the remaining time.
            assert!(
                read <= left && read + slot.created.elapsed() + Duration::from_millis(1) >= left,
                "{millis}: {read:?}"
            );
            slot.end();
        }
    }
}
