//! Replaces the library's timer: the same list of deadlines under the same kind of lock, without a thread. A model
//! decides when a deadline is due.

use crate::sync::{Arc, Mutex, MutexGuard, Weak};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

pub(super) trait Due: Send + Sync {
    fn due(self: Arc<Self>);
}

pub(super) type Key = usize;

type Entries = Mutex<HashMap<Key, Weak<dyn Due>>>;

thread_local! {
    /// All threads of a model run on one thread of the operating system.
    static ENTRIES: RefCell<Arc<Entries>> = RefCell::default();
}

/// Every execution must call this first, because a checker's lock is valid for one execution.
pub(crate) fn begin() {
    ENTRIES.take();
}

pub(super) fn schedule_stop(
    key: Key,
    due: Weak<dyn Due>,
    at: Option<Instant>,
    still_wanted: impl FnOnce() -> bool,
) -> bool {
    let entries = entries();
    let mut entries = entries.lock();
    entries.remove(&key);
    if at.is_some() && still_wanted() {
        entries.insert(key, due);
    }
    true
}

pub(crate) fn tend() -> Option<Instant> {
    None
}

pub(super) fn cancel_stop(key: Key) {
    entries().lock().remove(&key);
}

/// Fires every entry.
pub(crate) fn run_out() {
    let due = std::mem::take(&mut *entries().lock());
    due.into_values().filter_map(|due| due.upgrade()).for_each(Due::due);
}

pub(super) fn is_empty() -> bool {
    entries().lock().is_empty()
}

fn entries() -> Arc<Entries> {
    ENTRIES.with_borrow(Arc::clone)
}
