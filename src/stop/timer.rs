//! The timer of `request_stop_after`: one thread for the whole process. The first call creates the thread, and the thread
//! sleeps until the next entry is due.
//!
//! The timer holds its targets weakly. An entry is removed when its source is dropped or stopped, even if it is not due.
//!
//! If the thread cannot be created, a host that stops processes the due entries meanwhile: see `tend`.

use super::callback_threads;
use crate::util::sync::{Arc, Condvar, Mutex, OnceLock, Weak, now, thread, wait};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// The target of a timer entry.
pub(super) trait Due: Send + Sync {
    /// Handles the entry when it is due. Runs on the thread of the timer, so it must not block.
    fn due(self: Arc<Self>);
}

/// Identifies an entry: the address of its target. The address is unique while the target is alive, and the target removes
/// its entry before it is dropped.
pub(super) type Key = usize;

struct Timer {
    entries: Mutex<Entries>,
    /// Notified when the earliest entry has changed.
    changed: Condvar,
}

#[derive(Default)]
struct Entries {
    by_time: BTreeMap<(Instant, Key), Weak<dyn Due>>,
    by_key: HashMap<Key, Instant>,
    has_thread: bool,
}

impl Entries {
    fn remove(&mut self, key: Key) {
        if let Some(at) = self.by_key.remove(&key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// Removes an entry that is due, and returns its target. If none is due, the error is the time of the next entry.
    fn pop_due(&mut self) -> Result<Weak<dyn Due>, Option<Instant>> {
        let Some(first) = self.by_time.first_entry() else { return Err(None) };
        let &(at, key) = first.key();
        if at > now() {
            return Err(Some(at));
        }
        let due = first.remove();
        self.by_key.remove(&key);
        Ok(due)
    }
}

/// Schedules `target` for `at`, and replaces its earlier entry. `None` only removes the earlier entry.
///
/// `is_wanted` is called under the lock; if it returns `false`, no entry is added. Returns `false` if the timer has no
/// thread and none can be created. The entry is kept in that case, for `tend`.
pub(super) fn schedule_stop(
    key: Key,
    target: Weak<dyn Due>,
    at: Option<Instant>,
    is_wanted: impl FnOnce() -> bool,
) -> bool {
    let timer = timer();
    let mut entries = timer.entries.lock();
    entries.remove(key);
    if let (Some(at), true) = (at, is_wanted()) {
        entries.by_time.insert((at, key), target);
        entries.by_key.insert(key, at);
    }
    let has_thread = timer.start(&mut entries);
    drop(entries);
    timer.changed.notify_one();
    has_thread
}

/// Processes the due entries, while the thread of the timer cannot be created. Returns when to call this again.
///
/// A host that stops calls this, because it waits anyway.
pub(crate) fn tend() -> Option<Instant> {
    let timer = timer();
    loop {
        let mut entries = timer.entries.lock();
        if entries.by_time.is_empty() || timer.start(&mut entries) {
            return None;
        }
        let target = match entries.pop_due() {
            Ok(target) => target,
            Err(next) => return next,
        };
        drop(entries);
        target.upgrade().into_iter().for_each(Due::due);
    }
}

/// Removes the entry of `key`, if there is one.
pub(super) fn cancel_stop(key: Key) {
    timer().entries.lock().remove(key);
}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<Timer> = OnceLock::new();
    TIMER.get_or_init(|| Timer { entries: Mutex::default(), changed: Condvar::new() })
}

impl Timer {
    /// Creates the thread, if it does not exist yet. Returns `false` if that fails.
    fn start(&'static self, entries: &mut Entries) -> bool {
        if !entries.has_thread {
            let thread = thread::Builder::new().name("hosted-timer".to_owned());
            entries.has_thread = thread.spawn(|| run_timer(self)).is_ok();
        }
        entries.has_thread
    }
}

fn run_timer(timer: &Timer) {
    loop {
        // Called without the lock, because it may create a thread.
        let retry = callback_threads::tend();
        let mut entries = timer.entries.lock();
        match entries.pop_due() {
            Ok(target) => {
                // Upgrade and drop the target without the lock: this may be its last reference, and its drop takes the lock.
                drop(entries);
                target.upgrade().into_iter().for_each(Due::due);
            }
            Err(next) => {
                wait(&timer.changed, &mut entries, next.into_iter().chain(retry).min());
            }
        }
    }
}
