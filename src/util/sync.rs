//! Locks, atomics, threads and the clock. No other file names a lock type, starts a thread or reads the clock, so that
//! the models can replace this file with the types of a model checker, under the same signatures.

/// Channels between the threads of the host. Queues and tokens return crossbeam's receivers and name them directly.
pub(crate) use crossbeam_channel as channel;
pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard};
/// An atomic that only affects diagnostics for people. The model checkers do not replace it.
pub(crate) use std::sync::atomic::AtomicU32 as Gauge;
pub(crate) use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use std::sync::{Arc, OnceLock, Weak};
pub(crate) use std::{thread, thread_local};

use std::time::{Instant, SystemTime};

/// The identity of a thread that runs stop callbacks. A callback that drops its own guard must not wait for itself,
/// but any other thread must wait for the callback.
pub(crate) type Caller = thread::ThreadId;

/// Returns the identity of the calling thread.
pub(crate) fn caller() -> Caller {
    thread::current().id()
}

/// Returns the current time of the system's monotonic clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns the current wall-clock time. Unlike `now`, this time jumps when somebody sets the system's clock.
pub(crate) fn system_now() -> SystemTime {
    SystemTime::now()
}

/// Waits once on `condvar`, until a notification or until `until`. Returns `false` if `until` came first.
pub(crate) fn wait<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, until: Option<Instant>) -> bool {
    match until {
        None => {
            condvar.wait(guard);
            true
        }
        Some(at) => !condvar.wait_until(guard, at).timed_out(),
    }
}
