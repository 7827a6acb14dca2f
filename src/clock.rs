//! The time that services live by, so that a test can hold it still.

use crate::blocked::Waits;
use crate::error::{RecvError, Stopped};
use crate::stop::StopToken;
use crate::sync::{Arc, Condvar, Mutex, deadline, now, wait};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant};

/// The clock of a context's sleeps and ticks and of restart backoffs: the system's, or one that a test moves.
///
/// Stop tokens, queues and the deadlines of a host's start, stop and drop always go by the system's time. .NET's
/// `TimeProvider`.
///
/// ```
/// use hosted::Clock;
///
/// let clock = Clock::system();
/// assert!(clock.now() <= clock.now());
/// ```
#[doc(alias = "TimeProvider")]
#[derive(Clone, Default)]
pub struct Clock {
    /// `None`: the system's.
    manual: Option<Arc<Shared>>,
}

impl Clock {
    /// The system's monotonic clock. The default.
    pub fn system() -> Self {
        Clock { manual: None }
    }

    /// What time it is.
    pub fn now(&self) -> Instant {
        self.manual.as_ref().map_or_else(now, |shared| shared.state.lock().now)
    }

    /// Sleeps by this clock, until the time has passed or `token` is stopped.
    pub(crate) fn sleep(&self, time: Duration, token: &StopToken, waits: Waits) -> Result<(), Stopped> {
        match &self.manual {
            None => token.sleep_as(time, waits),
            Some(shared) => shared.sleep(|now| now.checked_add(time).map_or(Due::Never, Due::At), token, waits),
        }
    }

    /// Sleeps by this clock, until `instant` or until `token` is stopped.
    pub(crate) fn sleep_until(&self, instant: Instant, token: &StopToken, waits: Waits) -> Result<(), Stopped> {
        match &self.manual {
            None => token.sleep_until_as(instant, waits),
            Some(shared) => shared.sleep(|_| Due::At(instant), token, waits),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.manual.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}

struct Shared {
    state: Mutex<State>,
    /// Somebody has gone to sleep.
    asleep: Condvar,
}

/// When a sleeper is due, and its number.
type Key = (Due, u64);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    At(Instant),
    /// Later than an `Instant` can say.
    Never,
}

struct State {
    now: Instant,
    /// Who sleeps, by when they are due. Dropping the sender wakes the sleeper.
    sleepers: BTreeMap<Key, Sender<Infallible>>,
    next: u64,
}

impl Shared {
    /// How much of the sleep is left is not shown: nobody knows when the test will move the clock.
    fn sleep(&self, until: impl FnOnce(Instant) -> Due, token: &StopToken, waits: Waits) -> Result<(), Stopped> {
        token.check()?;
        let Some((key, over)) = self.lie_down(until) else { return Ok(()) };
        match token.recv_as(&over, waits) {
            Err(RecvError::Stopped) => {
                self.state.lock().sleepers.remove(&key);
                Err(Stopped)
            }
            _ => Ok(()), // the sender is gone: the time has come
        }
    }

    /// `None`: the time has passed already.
    fn lie_down(&self, until: impl FnOnce(Instant) -> Due) -> Option<(Key, Receiver<Infallible>)> {
        let mut state = self.state.lock();
        let until = until(state.now);
        if until <= Due::At(state.now) {
            return None;
        }
        let (sender, over) = bounded(0);
        let key = (until, state.next);
        state.next += 1;
        state.sleepers.insert(key, sender);
        drop(state);
        self.asleep.notify_all();
        Some((key, over))
    }
}

/// A clock for tests: time stands still until it is moved.
///
/// ```
/// use hosted::testing::ManualClock;
/// use hosted::{Context, Result, StopSource};
/// use std::time::Duration;
///
/// fn nightly(ctx: &Context) -> Result<u32> {
///     ctx.sleep(Duration::from_secs(24 * 3600))?;
///     Ok(1)
/// }
///
/// let time = ManualClock::new();
/// let stop = StopSource::new();
/// let ctx = Context::new("nightly", stop.token()).with_clock(time.clock());
/// let night = std::thread::spawn(move || nightly(&ctx).unwrap());
/// time.wait_for_sleepers(1);
/// time.advance(Duration::from_secs(24 * 3600));
/// assert_eq!(night.join().unwrap(), 1);
/// ```
#[doc(alias = "FakeTimeProvider")]
pub struct ManualClock {
    shared: Arc<Shared>,
}

/// How long `wait_for_sleepers` waits, in real time: long enough for any machine, short enough for a test run.
const PATIENCE: Duration = Duration::from_secs(60);

impl ManualClock {
    /// A clock that stands at the present moment.
    pub fn new() -> Self {
        let state = State { now: now(), sleepers: BTreeMap::new(), next: 0 };
        ManualClock { shared: Arc::new(Shared { state: Mutex::new(state), asleep: Condvar::new() }) }
    }

    /// The clock to give to a [`Host`](crate::Host::with_clock) or a [`Context`](crate::Context::with_clock).
    pub fn clock(&self) -> Clock {
        Clock { manual: Some(self.shared.clone()) }
    }

    /// Moves time forward in one jump and wakes who is due.
    ///
    /// They no longer count as sleepers when this returns, so that a day of ticks is a loop of `advance(period)` and
    /// `wait_for_sleepers(1)`.
    ///
    /// # Panics
    ///
    /// When the time would be later than an [`Instant`] can say.
    pub fn advance(&self, by: Duration) {
        let mut state = self.shared.state.lock();
        state.now += by;
        let now = state.now;
        let due: Vec<Key> = state.sleepers.keys().copied().take_while(|key| key.0 <= Due::At(now)).collect();
        for key in due {
            state.sleepers.remove(&key);
        }
    }

    /// Waits until at least `n` threads sleep by this clock.
    ///
    /// # Panics
    ///
    /// When they do not within 60 seconds of real time: a test that would hang fails, and says how many there were.
    pub fn wait_for_sleepers(&self, n: usize) {
        let patience = deadline(PATIENCE);
        let mut state = self.shared.state.lock();
        while state.sleepers.len() < n {
            let in_time = wait(&self.shared.asleep, &mut state, patience);
            let there = state.sleepers.len();
            assert!(in_time || there >= n, "waited {PATIENCE:?} for {n} sleepers, and there are {there}");
        }
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("ManualClock").field("sleepers", &state.sleepers.len()).finish_non_exhaustive()
    }
}
