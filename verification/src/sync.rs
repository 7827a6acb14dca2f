//! Replaces the library's `sync.rs`: the same names and signatures on the types of a model checker.
//!
//! Reference counts (`Arc`, `Weak`) are the standard library's: both checkers switch threads around them, not inside.

#[cfg(feature = "loom")]
use loom as checker;
#[cfg(feature = "shuttle")]
use shuttle as checker;

pub(crate) mod channel;
mod lock;
pub(crate) mod once;
pub(crate) mod time;

pub(crate) use checker::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
pub(crate) use checker::thread_local;
pub(crate) use lock::{Condvar, Mutex, MutexGuard, wait};
pub(crate) use once::OnceLock;
/// Not the checker's, because these values are only shown and decide nothing.
pub(crate) use std::sync::atomic::AtomicU32 as Gauge;
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use time::{now, system_now};

/// `std::thread`, as far as the library uses it.
pub(crate) mod thread {
    pub(crate) use super::checker::thread::{Builder, JoinHandle, ThreadId, current, park};
    use std::time::Duration;

    /// Called only by a wait on a token that is never stopped.
    pub(crate) fn sleep(_: Duration) {
        unreachable!("no model sleeps on a token that is never stopped");
    }
}

pub(crate) type Caller = thread::ThreadId;

pub(crate) fn caller() -> Caller {
    thread::current().id()
}
