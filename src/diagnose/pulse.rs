//! `Pulse`: the signs of life of one service, for the monitor that finds stalled services.
//!
//! The service's thread is *at rest* while it waits in this library, and outside of `run`. Everywhere else it must show a
//! sign of life now and then: the beginning and the end of each wait, tick and job, and each heartbeat.
//!
//! # Invariants
//!
//! 1. Only the service's thread changes whether it is at rest. It does so by a load and a store, because a
//!    read-modify-write costs several times as much. Other threads only add heartbeats, by a read-modify-write that leaves
//!    the lowest bit alone. If the store overwrites such a heartbeat, the store itself is a sign of life.
//! 2. Only the monitor decides that a service is stalled, and that it has recovered. The service's thread only wakes it.

use crate::util::sync::{AtomicU32, Ordering};

pub(crate) struct Pulse {
    /// The lowest bit is set while the thread is at rest. The other bits count the signs of life.
    signs: AtomicU32,
    /// One of the constants below.
    verdict: AtomicU32,
    wake_monitor: Box<dyn Fn() + Send + Sync>,
}

const AT_REST: u32 = 1;
const ONE_SIGN: u32 = 2;

/// The service is not stalled.
const ALIVE: u32 = 0;
/// The service is stalled. Its next sign of life wakes the monitor.
const STALLED: u32 = 1;
/// The service was stalled and has shown a sign of life. The monitor has been woken.
const RECOVERING: u32 = 2;

/// What the monitor saw of a pulse. Two different values have a sign of life between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signs(u32);

impl Signs {
    pub(crate) fn is_at_rest(self) -> bool {
        self.0 & AT_REST != 0
    }
}

impl Pulse {
    /// Creates the pulse of a service that is at rest. `wake_monitor` must not block for long: it is called on the threads of
    /// the service, between two of its steps.
    pub(crate) fn new(wake_monitor: impl Fn() + Send + Sync + 'static) -> Self {
        let (signs, verdict) = (AtomicU32::new(AT_REST), AtomicU32::new(ALIVE));
        Pulse { signs, verdict, wake_monitor: Box::new(wake_monitor) }
    }

    pub(crate) fn signs(&self) -> Signs {
        Signs(self.signs.load(Ordering::Relaxed))
    }

    /// Shows a sign of life from any thread.
    pub(crate) fn beat(&self) {
        self.signs.fetch_add(ONE_SIGN, Ordering::Relaxed);
        self.wake_if_stalled();
    }

    /// The service's thread begins to rest. Returns `true` if it was at rest already.
    #[inline]
    pub(crate) fn begin_rest(&self) -> bool {
        let signs = self.signs.load(Ordering::Relaxed);
        self.set(signs | AT_REST);
        signs & AT_REST != 0
    }

    /// The service's thread no longer rests.
    #[inline]
    pub(crate) fn end_rest(&self) {
        self.set(self.signs.load(Ordering::Relaxed) & !AT_REST);
    }

    /// Shows a sign of life from the service's thread, which costs less than [`beat`](Self::beat).
    #[inline]
    pub(super) fn beat_on_own_thread(&self) {
        self.set(self.signs.load(Ordering::Relaxed));
    }

    /// Stores `signs` with one more sign of life (invariant 1).
    #[inline]
    fn set(&self, signs: u32) {
        self.signs.store(signs.wrapping_add(ONE_SIGN), Ordering::Relaxed);
        self.wake_if_stalled();
    }

    /// The monitor may not have stored its verdict yet. Then it sees this sign of life when it checks once more, at that
    /// moment or at its next check.
    #[inline]
    fn wake_if_stalled(&self) {
        if self.verdict.load(Ordering::Relaxed) == STALLED {
            self.wake();
        }
    }

    #[cold]
    fn wake(&self) {
        if self.verdict.swap(RECOVERING, Ordering::Relaxed) == STALLED {
            (self.wake_monitor)();
        }
    }

    /// From now on, a sign of life wakes the monitor. The monitor must check the signs once more after this call.
    pub(crate) fn begin_stall(&self) {
        self.verdict.store(STALLED, Ordering::SeqCst);
    }

    /// The service is not stalled, or no longer.
    pub(crate) fn end_stall(&self) {
        self.verdict.store(ALIVE, Ordering::Relaxed);
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.verdict.load(Ordering::Relaxed) != ALIVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::sync::Arc;

    fn pulse() -> (Pulse, Arc<AtomicU32>) {
        let wakes = Arc::new(AtomicU32::new(0));
        let counted = wakes.clone();
        (Pulse::new(move || _ = counted.fetch_add(1, Ordering::Relaxed)), wakes)
    }

    #[test]
    fn every_step_is_a_sign_of_life_and_only_the_thread_itself_rests() {
        let (pulse, _) = pulse();
        assert!(pulse.signs().is_at_rest(), "a service that does not run is at rest");
        type Step = fn(&Pulse);
        let steps: [(Step, bool); 6] = [
            (|pulse| pulse.end_rest(), false),
            (|pulse| pulse.beat_on_own_thread(), false),
            (|pulse| pulse.beat(), false),
            (|pulse| assert!(!pulse.begin_rest()), true),
            (|pulse| assert!(pulse.begin_rest()), true),
            (|pulse| pulse.beat(), true),
        ];
        for (number, (step, rests)) in steps.into_iter().enumerate() {
            let before = pulse.signs();
            step(&pulse);
            assert!(pulse.signs() != before && pulse.signs().is_at_rest() == rests, "step {number}");
        }
        pulse.signs.store(u32::MAX - 1, Ordering::Relaxed);
        pulse.beat_on_own_thread();
        assert!(!pulse.signs().is_at_rest(), "the count wraps around without touching the lowest bit");
    }

    #[test]
    fn the_first_sign_of_life_after_a_stall_wakes_the_monitor_once() {
        let (pulse, wakes) = pulse();
        pulse.beat();
        assert_eq!((wakes.load(Ordering::Relaxed), pulse.is_stalled()), (0, false));
        pulse.begin_stall();
        pulse.begin_rest();
        pulse.beat();
        assert_eq!((wakes.load(Ordering::Relaxed), pulse.is_stalled()), (1, true), "the monitor decides");
        pulse.end_stall();
        pulse.beat();
        assert_eq!((wakes.load(Ordering::Relaxed), pulse.is_stalled()), (1, false));
    }
}
