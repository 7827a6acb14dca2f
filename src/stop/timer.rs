//! The one thread behind every `request_stop_after`, started by the first of them, asleep until the next is due.
//!
//! It holds what it will stop weakly, and an entry goes when its source goes or stops, not when it is due.

use crate::sync::{Arc, Condvar, Mutex, OnceLock, Weak, now, thread, wait};
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
/// # Panics
///
/// If the timer's thread is not there yet and cannot be had, as `std::thread::spawn` does.
pub(super) fn arm(key: Key, due: Weak<dyn Due>, at: Option<Instant>, still_wanted: impl FnOnce() -> bool) {
    let timer = timer();
    let mut entries = timer.entries.lock();
    entries.remove(key);
    if let (Some(at), true) = (at, still_wanted()) {
        entries.by_time.insert((at, key), due);
        entries.by_key.insert(key, at);
    }
    drop(entries);
    timer.changed.notify_one();
}

pub(super) fn disarm(key: Key) {
    timer().entries.lock().remove(key);
}

fn timer() -> &'static Timer {
    static TIMER: OnceLock<&'static Timer> = OnceLock::new();
    TIMER.get_or_init(|| {
        let timer: &'static Timer = Box::leak(Box::new(Timer { entries: Mutex::default(), changed: Condvar::new() }));
        let thread = thread::Builder::new().name("hosted-timer".to_owned());
        // A panic that `request_stop_after` documents: without this thread no time would ever come.
        thread.spawn(move || keep_time(timer)).expect("the thread behind request_stop_after cannot be had");
        timer
    })
}

fn keep_time(timer: &Timer) {
    let mut entries = timer.entries.lock();
    loop {
        match entries.pop_due() {
            Ok(due) => {
                // Upgraded and dropped outside the lock: this may be the last hold on it, and its end disarms.
                drop(entries);
                if let Some(due) = due.upgrade() {
                    due.due();
                }
                entries = timer.entries.lock();
            }
            Err(next) => {
                wait(&timer.changed, &mut entries, next);
            }
        }
    }
}
