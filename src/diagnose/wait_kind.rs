//! What a thread waits for in this library: the kernel sees only a futex.

use crate::util::sync::{Gauge, Ordering, now};
use crate::util::text::HumanDuration;
use std::time::{Duration, Instant};

/// A wait of this library, on a service's own thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Stop,
    Sleep,
    Message,
    Tick,
    Job,
    Room,
    Started,
    Restart,
    Services,
    Callback,
}

/// All waits. A slot keeps the place in this list, plus one.
const ALL: [Waits; 10] = [
    Waits::Stop,
    Waits::Sleep,
    Waits::Message,
    Waits::Tick,
    Waits::Job,
    Waits::Room,
    Waits::Started,
    Waits::Restart,
    Waits::Services,
    Waits::Callback,
];

impl Waits {
    pub(super) fn text(self) -> &'static str {
        match self {
            Waits::Stop => "waiting for the stop",
            Waits::Sleep => "sleeping",
            Waits::Message => "waiting for a message",
            Waits::Tick => "waiting for the next tick",
            Waits::Job => "waiting for a job",
            Waits::Room => "waiting for room in a queue",
            Waits::Started => "waiting for the host to have started",
            Waits::Restart => "waiting for its restart",
            Waits::Services => "waiting for its services",
            Waits::Callback => "waiting for its stop callback",
        }
    }
}

/// What one thread waits for now. Only that thread writes it, with two plain stores before it blocks and one after.
///
/// A reader may see the two halves of different waits. It therefore uses what it sees only if the thread stayed in one
/// sleep all the while: a sleep is within one wait.
pub(super) struct ServiceRecord {
    /// Deadlines are kept as milliseconds since then.
    born: Instant,
    /// In the lowest byte the place in [`ALL`] plus one, or 0; above it the upper 24 bits of the deadline.
    what: Gauge,
    /// The lower 32 bits of the deadline. Of a wait without one, all bits of both are set.
    low: Gauge,
}

/// The latest deadline that fits: 2 million years.
const NEVER: u64 = (1 << 56) - 1;

impl ServiceRecord {
    pub(super) fn new() -> Self {
        ServiceRecord { born: now(), what: Gauge::new(0), low: Gauge::new(0) }
    }

    #[inline]
    pub(super) fn begin(&self, waits: Waits, until: Option<Instant>) {
        let millis = until.map_or(NEVER, |at| {
            let at = at.saturating_duration_since(self.born);
            at.as_secs().saturating_mul(1_000).saturating_add(at.subsec_millis().into()).min(NEVER)
        });
        self.low.store(millis as u32, Ordering::Relaxed);
        let (high, what) = ((millis >> 32) as u32, waits as u32 + 1);
        self.what.store(high << 8 | what, Ordering::Release);
    }

    #[inline]
    pub(super) fn end(&self) {
        self.what.store(0, Ordering::Release);
    }

    /// What the thread waits for, and how long at most from now on.
    pub(super) fn read(&self) -> Option<(Waits, Option<Duration>)> {
        let what = self.what.load(Ordering::Acquire);
        let waits = *ALL.get((what & 0xff).checked_sub(1)? as usize)?;
        let millis = u64::from(what >> 8) << 32 | u64::from(self.low.load(Ordering::Relaxed));
        let until = (millis != NEVER).then(|| self.born.checked_add(Duration::from_millis(millis))).flatten();
        Some((waits, until.map(|at| at.saturating_duration_since(now()))))
    }
}

/// The rest of a wait as the end of its text: `, 3.10 s left`.
pub(super) fn remaining(time: Option<Duration>) -> String {
    time.map(|time| format!(", {} left", HumanDuration(time))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{ALL, ServiceRecord, Waits};
    use std::time::Duration;

    #[test]
    fn every_wait_is_read_as_it_was_written() {
        let slot = ServiceRecord::new();
        assert_eq!(slot.read(), None);
        for (place, waits) in ALL.into_iter().enumerate() {
            assert_eq!(place, waits as usize, "the list has the order of the words");
            slot.begin(waits, None);
            assert_eq!(slot.read(), Some((waits, None)));
        }
        slot.end();
        assert_eq!(slot.read(), None);
    }

    #[test]
    fn a_deadline_is_kept_to_the_millisecond_however_far_it_is() {
        let slot = ServiceRecord::new();
        for millis in [0, 1, 255, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 48) + 7] {
            let left = Duration::from_millis(millis);
            let Some(until) = slot.born.checked_add(left) else { continue };
            slot.begin(Waits::Sleep, Some(until));
            let Some((Waits::Sleep, Some(read))) = slot.read() else { panic!("{millis}") };
            // Of the rest some has passed meanwhile, and nothing but that.
            assert!(
                read <= left && read + slot.born.elapsed() + Duration::from_millis(1) >= left,
                "{millis}: {read:?}"
            );
        }
    }
}
