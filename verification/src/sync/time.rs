//! Time in a model: it stands still, or it runs, and a deadline may come before the next step of any other thread.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

thread_local! {
    /// All threads of a model run on one thread of the operating system.
    static PASSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    /// One check of a deadline in this many finds that it has passed. With 0, time stands still.
    static ONE_IN: Cell<u32> = const { Cell::new(0) };
}

pub(crate) fn now() -> Instant {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    *BEGAN.get_or_init(Instant::now) + PASSED.get()
}

/// The wall-clock time that belongs to `now`. It starts in 1970, because no model reads the system's clock.
pub(crate) fn system_now() -> SystemTime {
    SystemTime::UNIX_EPOCH + PASSED.get()
}

/// Every model must call this first, or `runs_one_in`.
pub(crate) fn stands_still() {
    PASSED.set(Duration::ZERO);
    ONE_IN.set(0);
}

/// Lets deadlines pass: one check in `one_in` finds that the deadline has passed.
#[cfg(feature = "shuttle")]
pub(crate) fn runs_one_in(one_in: u32) {
    PASSED.set(Duration::ZERO);
    ONE_IN.set(one_in);
}

pub(super) fn runs() -> bool {
    ONE_IN.get() > 0
}

/// Returns `true` if `at` has come. The checker decides, and then `now` is `at`.
#[cfg(feature = "shuttle")]
pub(super) fn has_come(at: Instant) -> bool {
    use shuttle::rand::Rng;
    let comes = at <= now() || shuttle::rand::thread_rng().gen_ratio(1, ONE_IN.get());
    if comes {
        PASSED.set(PASSED.get() + at.saturating_duration_since(now()));
    }
    comes
}

#[cfg(feature = "loom")]
pub(super) fn has_come(_: Instant) -> bool {
    unreachable!("time stands still under loom")
}
