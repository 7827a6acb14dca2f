//! Joins threads with a deadline. `JoinHandle::join` has no deadline, and `is_finished` is true before the thread-local destructors
//! have run. So dedicated threads, the *reapers*, do the joining, and the owner waits for them until its deadline.

use crate::registry::{Registry, ServiceId};
use crate::util::sync::channel::{Receiver, Sender, unbounded};
use crate::util::sync::thread::{Builder, JoinHandle};
use crate::util::sync::{Arc, now};
use std::time::{Duration, Instant};

/// The reapers of a host. The first thread to join creates one reaper. More are added if a reaper is stalled.
pub(super) struct Reapers {
    registry: Arc<Registry>,
    work: (Sender<ExitedThread>, Receiver<ExitedThread>),
    threads: usize,
    handed_over: usize,
    /// The number of joined threads when it last changed, and the time of that change.
    progress: (usize, Instant),
}

/// A thread that has nothing more to do, and its service.
type ExitedThread = (ServiceId, JoinHandle<()>);

/// If no thread was joined for this time, a thread-local destructor may be blocking a reaper.
const STALLED_AFTER: Duration = Duration::from_millis(10);

impl Reapers {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Reapers { registry, work: unbounded(), threads: 0, handed_over: 0, progress: (0, now()) }
    }

    /// Takes a thread that is about to exit.
    pub(super) fn take(&mut self, id: ServiceId, thread: JoinHandle<()>) {
        if self.waiting() == 0 {
            self.progress.1 = now();
        }
        if self.threads == 0 {
            self.add();
        }
        if self.threads == 0 {
            // No reaper can be created. The thread is detached instead, and exits on its own.
            drop(thread);
            self.registry.mark_joined(id);
            return;
        }
        self.handed_over += 1;
        // This cannot fail, because `self` has the receiver.
        _ = self.work.0.send((id, thread));
    }

    /// Returns when to check for a stalled reaper. Returns `None` if another reaper would not help.
    pub(super) fn next_check(&self) -> Option<Instant> {
        (self.waiting() > self.threads).then(|| self.progress.1 + STALLED_AFTER)
    }

    /// Doubles the number of reapers if no thread was joined for `STALLED_AFTER`, so that a blocked thread does not delay others.
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

    /// Returns how many of the threads that were handed over are not joined.
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
                // A panic of the service was caught and recorded on its thread, so the result says nothing new.
                _ = thread.join();
                registry.mark_joined(id);
            }
        };
        if Builder::new().name("hosted-reaper".to_owned()).spawn(reap).is_ok() {
            self.threads += 1;
        }
    }
}
