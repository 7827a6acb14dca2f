//! A schedule of ticks at a fixed rate.

use crate::blocked::Waits;
use crate::clock::Clock;
use crate::stop::StopToken;
use std::time::{Duration, Instant};

/// Ticks at a fixed rate, until the stop: an iterator whose `next` waits.
///
/// The grid is laid when it is made ([`Context::ticks`](crate::Context::ticks)) and never moves: a late tick does not
/// shift those after it. Ticks whose time passed while nobody asked for them come as one, with their number. The
/// iterator ends at the stop, also when a tick is due. .NET's `PeriodicTimer`.
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
#[must_use = "ticks come only when asked for"]
pub struct Ticks {
    clock: Clock,
    token: StopToken,
    period: Duration,
    /// When the next tick is due; `None` when that is later than an `Instant` can say.
    next: Option<Instant>,
}

/// One tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tick {
    /// When it was due, on the clock of the context.
    pub scheduled: Instant,
    /// How many ticks before it passed unseen.
    pub missed: u32,
}

impl Ticks {
    pub(crate) fn new(clock: Clock, token: StopToken, period: Duration) -> Self {
        assert!(!period.is_zero(), "a tick period of zero");
        let next = clock.now().checked_add(period);
        Ticks { clock, token, period, next }
    }

    /// Lets the first tick be due now instead of after one period.
    pub fn immediately(mut self) -> Self {
        self.next = Some(self.clock.now());
        self
    }
}

impl Iterator for Ticks {
    type Item = Tick;

    fn next(&mut self) -> Option<Tick> {
        let Some(next) = self.next else {
            self.token.wait();
            return None;
        };
        self.clock.sleep_until(next, &self.token, Waits::Tick).ok()?;
        let late = self.clock.now().saturating_duration_since(next);
        let missed = u32::try_from(late.as_nanos() / self.period.as_nanos()).unwrap_or(u32::MAX);
        // Not beyond `now`, so it cannot overflow.
        let scheduled = next + self.period * missed;
        self.next = scheduled.checked_add(self.period);
        Some(Tick { scheduled, missed })
    }
}
