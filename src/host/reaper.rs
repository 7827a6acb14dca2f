//! Joining threads with a deadline. `join` has none, and a thread's end as the standard library tells it comes before
//! its thread-local destructors: so other threads do the joining, and the owner waits for those, as long as it likes.

use crate::registry::{Registry, ServiceId};
use crate::util::sync::channel::{Receiver, Sender, unbounded};
use crate::util::sync::thread::{Builder, JoinHandle};
use crate::util::sync::{Arc, now};
use std::time::{Duration, Instant};

/// The reapers of a host: none until the first thread is to be joined, then one, and more where one is held up.
pub(super) struct Reapers {
    registry: Arc<Registry>,
    work: (Sender<ExitedThread>, Receiver<ExitedThread>),
    threads: usize,
    handed_over: usize,
    /// How many had been joined when that last changed, and when that was.
    progress: (usize, Instant),
}

/// A thread that has nothing more to do, and whose it was.
type ExitedThread = (ServiceId, JoinHandle<()>);

/// A reaper that has not come back for so long may be held up by a thread-local destructor.
const STALLED_AFTER: Duration = Duration::from_millis(10);

impl Reapers {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Reapers { registry, work: unbounded(), threads: 0, handed_over: 0, progress: (0, now()) }
    }

    /// Takes a thread that is about to end.
    pub(super) fn take(&mut self, id: ServiceId, thread: JoinHandle<()>) {
        if self.waiting() == 0 {
            self.progress.1 = now();
        }
        if self.threads == 0 {
            self.add();
        }
        if self.threads == 0 {
            // No thread is to be had: this one is let go instead, and ends by itself.
            drop(thread);
            self.registry.mark_joined(id);
            return;
        }
        self.handed_over += 1;
        // The receiver is in `self`: this cannot fail.
        _ = self.work.0.send((id, thread));
    }

    /// When to look whether one is held up, if that would help.
    pub(super) fn next_check(&self) -> Option<Instant> {
        (self.waiting() > self.threads).then(|| self.progress.1 + STALLED_AFTER)
    }

    /// Twice as many, if nothing has been joined for a while: a thread that is held up does not hold up others.
    pub(super) fn add_if_stalled(&mut self) {
        let (joined, waiting) = (self.joined(), self.waiting());
        if joined != self.progress.0 {
            self.progress = (joined, now());
        } else if waiting > self.threads && self.progress.1 + STALLED_AFTER <= now() {
            for _ in 0..self.threads.min(waiting - self.threads) {
                self.add();
            }
            self.progress.1 = now();
        }
    }

    /// How many that were handed over are not joined.
    fn waiting(&self) -> usize {
        self.handed_over - self.joined().min(self.handed_over)
    }

    fn joined(&self) -> usize {
        self.registry.joined_by_reapers()
    }

    fn add(&mut self) {
        let (work, registry) = (self.work.1.clone(), self.registry.clone());
        let reap = move || {
            for (id, thread) in work {
                // A panic was told where it happened; only one beyond all guards could come out here.
                _ = thread.join();
                registry.mark_joined(id);
            }
        };
        if Builder::new().name("hosted-reaper".to_owned()).spawn(reap).is_ok() {
            self.threads += 1;
        }
    }
}
