//! `Clock`: the system clock, or a manual clock that a test moves.

use crate::diagnose::{Waits, waiting};
use crate::stop::{RecvError, StopToken, Stopped};
use crate::util::sync::{Arc, Condvar, Mutex, now, system_now, wait};
use crate::util::time::{deadline, since};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};

/// The clock of the sleeps and ticks of a [`Context`](crate::Context), and of restart backoffs.
///
/// A clock is either the system clock, or a [`ManualClock`] that a test moves. It also measures the time that a
/// [batch](crate::Queue::batch_consumer) waits, and [`recv_timeout`](crate::Queue::recv_timeout). Stop tokens, pushes, and the
/// deadlines of a host's start, stop and drop always use the system clock. .NET: `TimeProvider`.
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
    /// `None` for the system clock.
    manual: Option<Arc<Shared>>,
}

impl Clock {
    /// Returns the monotonic clock of the system. This is the default.
    pub fn system() -> Self {
        Clock { manual: None }
    }

    /// Returns the current time of this clock.
    pub fn now(&self) -> Instant {
        self.manual.as_ref().map_or_else(now, |shared| shared.state.lock().now)
    }

    /// Returns the current wall-clock time of this clock.
    ///
    /// Unlike [`now`](Self::now), the wall-clock time jumps when somebody sets the system's clock. .NET: `GetUtcNow`.
    ///
    /// ```
    /// use hosted::testing::ManualClock;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let time = ManualClock::at(SystemTime::UNIX_EPOCH);
    /// time.advance(Duration::from_secs(60));
    /// assert_eq!(time.clock().system_time(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// ```
    #[doc(alias = "GetUtcNow")]
    pub fn system_time(&self) -> SystemTime {
        self.manual.as_ref().map_or_else(system_now, |shared| shared.state.lock().system_time)
    }

    /// Sleeps until `time` has passed by this clock, or until `token` is stopped. Diagnostics show the wait as `waits`.
    pub(crate) fn sleep(&self, time: Duration, token: &StopToken, waits: Waits) -> Result<(), Stopped> {
        match &self.manual {
            None => token.sleep_as(time, waits),
            Some(shared) => shared.sleep(|now| now.checked_add(time).map_or(Due::Never, Due::At), token, waits),
        }
    }

    /// Sleeps like [`sleep`](Self::sleep) for `part` of a wait that takes `whole`. Diagnostics show the end of the whole wait.
    #[cfg(feature = "cron")]
    pub(crate) fn sleep_part(
        &self,
        part: Duration,
        whole: Duration,
        token: &StopToken,
        waits: Waits,
    ) -> Result<(), Stopped> {
        let _waiting = waiting(waits, deadline(whole).filter(|_| self.manual.is_none()));
        self.sleep(part, token, waits)
    }

    /// Returns how much later than `due` a sleep has ended: the process was frozen, or had no processor. By a manual clock
    /// this is zero, because such a clock jumps on purpose.
    pub(crate) fn overslept(&self, due: Instant) -> Duration {
        if self.manual.is_some() { Duration::ZERO } else { since(due) }
    }

    /// Sleeps until `instant` by this clock, or until `token` is stopped. Diagnostics show the wait as `waits`.
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
    /// Notified when a thread starts to sleep.
    asleep: Condvar,
}

/// The key of a sleeper: when it is due, and a number that makes the key unique.
type Key = (Due, u64);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    At(Instant),
    /// Later than an `Instant` can represent.
    Never,
}

struct State {
    now: Instant,
    system_time: SystemTime,
    /// The sleepers in the order in which they are due. Dropping a sender wakes its sleeper.
    sleepers: BTreeMap<Key, Sender<Infallible>>,
    next: u64,
}

impl Shared {
    /// Sleeps until `until` by the manual clock. Diagnostics show no remaining time, because it depends on the test.
    fn sleep(&self, until: impl FnOnce(Instant) -> Due, token: &StopToken, waits: Waits) -> Result<(), Stopped> {
        token.check()?;
        // Before this thread counts as a sleeper, so that a test that waits for it finds it at rest.
        let _waiting = waiting(waits, None);
        let Some((key, due)) = self.register(until) else { return Ok(()) };
        match token.recv_as(&due, waits) {
            Err(RecvError::Stopped) => {
                self.state.lock().sleepers.remove(&key);
                Err(Stopped)
            }
            _ => Ok(()), // the sender was dropped, because the sleeper is due
        }
    }

    /// Registers a sleeper. Returns its key and a receiver that disconnects when the sleeper is due, or `None` if the time
    /// has already passed.
    fn register(&self, until: impl FnOnce(Instant) -> Due) -> Option<(Key, Receiver<Infallible>)> {
        let mut state = self.state.lock();
        let until = until(state.now);
        if until <= Due::At(state.now) {
            return None;
        }
        let (sender, due) = bounded(0);
        let key = (until, state.next);
        state.next += 1;
        state.sleepers.insert(key, sender);
        drop(state);
        self.asleep.notify_all();
        Some((key, due))
    }
}

/// A clock for tests. Time stands still until the test moves it.
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

/// How long `wait_for_sleepers` waits, in real time. This is long enough for a slow machine, and short enough for a test run.
const SLEEPER_TIMEOUT: Duration = Duration::from_secs(60);

impl ManualClock {
    /// Creates a clock that shows the current time and stands still.
    pub fn new() -> Self {
        Self::at(system_now())
    }

    /// Creates a clock whose wall-clock time is `system_time`. The clock stands still.
    ///
    /// ```
    /// use hosted::testing::ManualClock;
    /// use std::time::SystemTime;
    ///
    /// let time = ManualClock::at(SystemTime::UNIX_EPOCH);
    /// assert_eq!(time.clock().system_time(), SystemTime::UNIX_EPOCH);
    /// ```
    pub fn at(system_time: SystemTime) -> Self {
        let state = State { now: now(), system_time, sleepers: BTreeMap::new(), next: 0 };
        ManualClock { shared: Arc::new(Shared { state: Mutex::new(state), asleep: Condvar::new() }) }
    }

    /// Sets the wall-clock time only, as an administrator or a time server sets the system's clock.
    ///
    /// Sleeps and ticks do not change. A service with a wall-clock schedule notices the new time when it next wakes.
    pub fn set_system_time(&self, system_time: SystemTime) {
        self.shared.state.lock().system_time = system_time;
    }

    /// Returns a clock for a [`Host`](crate::Host::with_clock) or a [`Context`](crate::Context::with_clock).
    pub fn clock(&self) -> Clock {
        Clock { manual: Some(self.shared.clone()) }
    }

    /// Moves the time and the wall-clock time forward by `by` in one jump, and wakes every thread that is due.
    ///
    /// When this function returns, the woken threads no longer count as sleepers. To pass several ticks, alternate
    /// `advance(period)` and `wait_for_sleepers(1)`.
    ///
    /// # Panics
    ///
    /// Panics if an [`Instant`] or a [`SystemTime`] cannot represent the new time.
    pub fn advance(&self, by: Duration) {
        let mut state = self.shared.state.lock();
        // Compute both times before either is stored: a panic must leave the clock unchanged.
        let (now, system_time) = (state.now + by, state.system_time + by);
        (state.now, state.system_time) = (now, system_time);
        let due: Vec<Key> = state.sleepers.keys().copied().take_while(|key| key.0 <= Due::At(now)).collect();
        for key in due {
            state.sleepers.remove(&key);
        }
    }

    /// Blocks until at least `n` threads sleep by this clock.
    ///
    /// # Panics
    ///
    /// Panics after 60 seconds of real time, so that a test fails instead of hanging. The message has the number of threads
    /// that were asleep.
    pub fn wait_for_sleepers(&self, n: usize) {
        let until = deadline(SLEEPER_TIMEOUT);
        let mut state = self.shared.state.lock();
        while state.sleepers.len() < n {
            let in_time = wait(&self.shared.asleep, &mut state, until);
            let found = state.sleepers.len();
            assert!(in_time || found >= n, "timed out after 60 s waiting for {n} sleeping threads; found {found}");
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
