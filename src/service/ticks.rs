//! A schedule of ticks at a fixed rate.

use crate::clock::Clock;
use crate::diagnose::{Waits, show_life};
use crate::stop::StopToken;
use std::time::{Duration, Instant};

/// Ticks at a fixed rate until the stop: an iterator whose `next` blocks until the next tick.
///
/// [`Context::ticks`](crate::Context::ticks) fixes the grid of ticks, and the grid never moves: a late tick does not
/// shift the ticks after it. Ticks that pass between two calls of `next` are returned as one tick that counts them.
/// The iterator ends at the stop, even if a tick is due. .NET: `PeriodicTimer`.
///
/// ```
/// use hosted::testing::ManualClock;
/// use hosted::{Context, StopSource};
/// use std::time::Duration;
///
/// let time = ManualClock::new();
/// let ctx = Context::new("poller", StopSource::new().token()).with_clock(time.clock());
/// let mut ticks = ctx.ticks(Duration::from_secs(10)).immediately();
/// assert_eq!(ticks.next().unwrap().missed, 0);
/// time.advance(Duration::from_secs(35)); // 10, 20 and 30 have passed
/// assert_eq!(ticks.next().unwrap().missed, 2);
/// time.advance(Duration::from_secs(5)); // the next is at 40, not at 45
/// assert_eq!(ticks.next().unwrap().missed, 0);
/// ```
#[doc(alias("PeriodicTimer", "interval"))]
#[derive(Debug)]
#[must_use = "iterators are lazy; call `next`"]
pub struct Ticks {
    clock: Clock,
    token: StopToken,
    period: Duration,
    /// When the next tick is due. `None` if that is later than an `Instant` can represent.
    next: Option<Instant>,
}

/// One tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When the tick was due, by the clock of the context.
    pub scheduled: Instant,
    /// The number of ticks that passed before this one without a call of `next`.
    pub missed: u32,
}

impl Ticks {
    pub(crate) fn new(clock: Clock, token: StopToken, period: Duration) -> Self {
        assert!(!period.is_zero(), "tick period must not be zero");
        let next = clock.now().checked_add(period);
        Ticks { clock, token, period, next }
    }

    /// Makes the first tick due now, instead of after one period.
    pub fn immediately(mut self) -> Self {
        self.next = Some(self.clock.now());
        self
    }
}

impl Iterator for Ticks {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        let Some(next) = self.next else {
            self.token.wait_until(None, Waits::Tick);
            return None;
        };
        show_life(); // by a manual clock, a tick that is due takes no wait
        self.clock.sleep_until(next, &self.token, Waits::Tick).ok()?;
        let late = self.clock.now().saturating_duration_since(next);
        let missed = u32::try_from(late.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        // The result is not later than `now`, so the addition cannot overflow.
        let scheduled = next + self.period * missed;
        self.next = scheduled.checked_add(self.period);
        Some(Tick { scheduled, missed })
    }
}
