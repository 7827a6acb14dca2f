//! The locks, atomics, threads and time that everything above is built of. No other file names a lock type, starts a
//! thread or looks at the clock, so that a model checker's can stand in for these under the same signatures.

/// Of the host's own threads; a queue and a token hand out crossbeam's receivers, and name them.
pub(crate) use crossbeam_channel as channel;
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
/// An atomic that nothing is decided by but what is shown to a person: a model checker need not know of it.
pub(crate) use std::sync::atomic::AtomicU32 as Gauge;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};
pub(crate) use std::thread;
pub(crate) use std::thread_local;

use std::time::{Duration, Instant};

/// Who is calling: tells a callback that drops its own guard from a stranger who must wait for it.
pub(crate) type Caller = thread::ThreadId;

pub(crate) fn caller() -> Caller {
    thread::current().id()
}

pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The instant `after` from now, or `None`: so far away that it is never reached.
pub(crate) fn deadline(after: Duration) -> Option<Instant> {
    now().checked_add(after)
}

/// The time left until `deadline`; `Duration::MAX` where there is none.
pub(crate) fn left(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |at| at.saturating_duration_since(now()))
}

/// The time since `at`; none, where that is yet to come.
pub(crate) fn since(at: Instant) -> Duration {
    now().saturating_duration_since(at)
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
