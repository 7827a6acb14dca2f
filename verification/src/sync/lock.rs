//! Locks with parking_lot's signatures.

use super::checker::{sync, thread};
use super::time;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

#[derive(Default)]
pub(crate) struct Mutex<T>(sync::Mutex<T>);

pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a sync::Mutex<T>,
    /// `None` only inside `wait`.
    inner: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { mutex: &self.0, inner: Some(self.0.lock().unwrap()) }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.inner.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.inner.as_mut().unwrap()
    }
}

#[derive(Default)]
pub(crate) struct Condvar {
    inner: sync::Condvar,
    /// The number of notifications. It is no part of the model: only waits with a timeout read it.
    notified: AtomicU64,
}

impl Condvar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn notify_one(&self) {
        self.notified.fetch_add(1, Relaxed);
        self.inner.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.notified.fetch_add(1, Relaxed);
        self.inner.notify_all();
    }
}

/// One wait. If time stands still, no deadline is reached, so a lost wake-up is found as a deadlock. If time runs, a
/// deadline may come before the next step of any other thread.
pub(crate) fn wait<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, until: Option<Instant>) -> bool {
    match until.filter(|_| time::runs()) {
        Some(at) => wait_until(condvar, guard, at),
        None => {
            let inner = guard.inner.take().unwrap();
            guard.inner = Some(condvar.inner.wait(inner).unwrap());
            true
        }
    }
}

/// Lets the other threads continue until it is notified, or until the checker decides that the time has come.
fn wait_until<T>(condvar: &Condvar, guard: &mut MutexGuard<'_, T>, at: Instant) -> bool {
    let before = condvar.notified.load(Relaxed);
    loop {
        drop(guard.inner.take());
        thread::yield_now();
        guard.inner = Some(guard.mutex.lock().unwrap());
        if condvar.notified.load(Relaxed) != before {
            return true;
        }
        if time::has_come(at) {
            return false;
        }
    }
}
