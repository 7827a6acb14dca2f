//! The one thread behind every `request_stop_after`, started by the first of them, asleep until the next is due.
//!
//! It holds what it will stop weakly, and an entry goes when its source goes or stops, not when it is due.
//!
//! If the operating system has no thread to give, a host that stops keeps the time meanwhile: see `tend`.

use super::callback_threads;
use crate::util::sync::{Arc, Condvar, Mutex, OnceLock, Weak, now, thread, wait};
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

/// Something that a moment comes for.
pub(super) trait Due: Send + Sync {
    /// Called on the timer's thread: must not block.
    fn due(self: Arc<Self>);
}

/// Which entry: the address of what is due, unique while it is alive, and it disarms before it goes.
pub(super) type Key = usize;

struct Timer {
    entries: Mutex<Entries>,
    /// The earliest moment has changed.
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

    /// What is due now, or the moment of what is due next.
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

/// Makes `due` due at `at`, instead of when it was due before. `None` is never.
///
/// Returns `false` if the timer has no thread and none can be created. The entry stays: `tend` may come to it.
pub(super) fn schedule_stop(
    key: Key,
    due: Weak<dyn Due>,
    at: Option<Instant>,
    still_wanted: impl FnOnce() -> bool,
) -> bool {
    let timer = timer();
    let mut entries = timer.entries.lock();
    entries.remove(key);
    if let (Some(at), true) = (at, still_wanted()) {
        entries.by_time.insert((at, key), due);
        entries.by_key.insert(key, at);
    }
    let has_thread = timer.start(&mut entries);
    drop(entries);
    timer.changed.notify_one();
    has_thread
}

/// For whoever waits anyway: does what the timer's thread would, while that cannot be created. Returns when to call this
/// again.
pub(crate) fn tend() -> Option<Instant> {
    let timer = timer();
    loop {
        let mut entries = timer.entries.lock();
        if entries.by_time.is_empty() || timer.start(&mut entries) {
            return None;
        }
        let due = match entries.pop_due() {
            Ok(due) => due,
            Err(next) => return next,
        };
        drop(entries);
        due.upgrade().into_iter().for_each(Due::due);
    }
}

pub(super) fn disarm(key: Key) {
    timer().entries.lock().remove(key);
}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<Timer> = OnceLock::new();
    TIMER.get_or_init(|| Timer { entries: Mutex::default(), changed: Condvar::new() })
}

impl Timer {
    /// Starts the thread, if it is not there yet. Returns `false` if it cannot be created.
    fn start(&'static self, entries: &mut Entries) -> bool {
        if !entries.has_thread {
            let thread = thread::Builder::new().name("hosted-timer".to_owned());
            entries.has_thread = thread.spawn(|| keep_time(self)).is_ok();
        }
        entries.has_thread
    }
}

fn keep_time(timer: &Timer) {
    loop {
        // Before the lock is taken: this may start a thread.
        let retry = callback_threads::tend();
        let mut entries = timer.entries.lock();
        match entries.pop_due() {
            Ok(due) => {
                // Upgraded and dropped outside the lock: this may be the last hold on it, and its end disarms.
                drop(entries);
                due.upgrade().into_iter().for_each(Due::due);
            }
            Err(next) => {
                wait(&timer.changed, &mut entries, next.into_iter().chain(retry).min());
            }
        }
    }
}
