//! The locks, atomics and clocks' deadlines that everything above is built of. No other file names a lock type,
//! so that a model checker's types can stand in for these under the same signatures.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};

use std::time::{Duration, Instant};

/// Who is calling: tells a callback that drops its own guard from a stranger who must wait for it.
pub(crate) type Caller = std::thread::ThreadId;

pub(crate) fn caller() -> Caller {
    std::thread::current().id()
}

/// The instant `after` from now, or `None`: so far away that it is never reached.
pub(crate) fn deadline(after: Duration) -> Option<Instant> {
    Instant::now().checked_add(after)
}

/// The time left until `deadline`; `Duration::MAX` where there is none.
pub(crate) fn left(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()))
}

/// One wait on `condvar`, until notified or `until`. False when the time ran out.
pub(crate) fn wait<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, until: Option<Instant>) -> bool {
    match until {
        None => {
            condvar.wait(guard);
            true
        }
        Some(at) => !condvar.wait_until(guard, at).timed_out(),
    }
}
