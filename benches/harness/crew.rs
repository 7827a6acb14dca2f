//! Threads that wait for one signal after another, and the time until the last of them is awake.

use super::signal::Signal;
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Threads that all wait for one signal after another.
pub(crate) struct Crew<S: Signal> {
    shared: Arc<Shared<S>>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared<S> {
    next: Mutex<Next<S>>,
    changed: Condvar,
    arrived: AtomicUsize,
    awake: AtomicUsize,
    /// The time at which the last thread woke, in nanoseconds after `zero`.
    last: AtomicU64,
    zero: Instant,
}

enum Next<S> {
    /// The number of the signal, and the signal.
    Signal(u64, S),
    GoHome,
}

impl<S: Signal> Crew<S> {
    pub(crate) fn new(size: usize) -> Self {
        let shared = Arc::new(Shared {
            next: Mutex::new(Next::Signal(0, S::fresh())),
            changed: Condvar::new(),
            arrived: AtomicUsize::new(0),
            awake: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            zero: Instant::now(),
        });
        let (owner, spawner) = (thread::current(), shared.clone());
        let spawn = |_| {
            let (shared, owner) = (spawner.clone(), owner.clone());
            thread::spawn(move || shared.stand_watch(size, &owner))
        };
        Crew { shared, threads: (0..size).map(spawn).collect() }
    }

    /// Returns the time from raising a signal, while all threads are asleep, until the last one is awake.
    pub(crate) fn wake(&self) -> Duration {
        let shared = &*self.shared;
        let (size, signal) = (self.threads.len(), S::fresh());
        shared.arrived.store(0, Ordering::Relaxed);
        shared.awake.store(0, Ordering::Relaxed);
        shared.last.store(0, Ordering::Relaxed);
        if let Next::Signal(number, next) = &mut *shared.next.lock() {
            (*number, *next) = (*number + 1, signal.clone());
        }
        shared.changed.notify_all();
        park_until(&shared.arrived, size);
        // The last thread to arrive, and the processor, need time to fall asleep.
        thread::sleep(Duration::from_micros(200 + size as u64));
        let begin = shared.zero.elapsed();
        signal.raise();
        park_until(&shared.awake, size);
        Duration::from_nanos(shared.last.load(Ordering::Relaxed)) - begin
    }
}

impl<S: Signal> Shared<S> {
    fn stand_watch(&self, size: usize, owner: &Thread) {
        let mut seen = 0;
        while let Some(signal) = self.next_after(&mut seen) {
            count(&self.arrived, size, owner);
            signal.wait();
            self.last.fetch_max(self.zero.elapsed().as_nanos() as u64, Ordering::Relaxed);
            count(&self.awake, size, owner);
        }
    }

    fn next_after(&self, seen: &mut u64) -> Option<S> {
        let mut next = self.next.lock();
        loop {
            match &*next {
                Next::GoHome => return None,
                Next::Signal(number, signal) if number > seen => {
                    *seen = *number;
                    return Some(signal.clone());
                }
                Next::Signal(..) => self.changed.wait(&mut next),
            }
        }
    }
}

impl<S: Signal> Drop for Crew<S> {
    fn drop(&mut self) {
        *self.shared.next.lock() = Next::GoHome;
        self.shared.changed.notify_all();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

fn count(counter: &AtomicUsize, size: usize, owner: &Thread) {
    if counter.fetch_add(1, Ordering::AcqRel) + 1 == size {
        owner.unpark();
    }
}

fn park_until(counter: &AtomicUsize, size: usize) {
    while counter.load(Ordering::Acquire) < size {
        thread::park();
    }
}
