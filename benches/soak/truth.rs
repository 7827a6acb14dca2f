//! What is known to be true about one service, and since when.

use hosted::{Event, EventKind};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Degraded,
    Stalled,
}

/// A moment in the life of a service. Two moments that are equal have no change between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    version: u64,
    /// `None` while a change is under way.
    pub(crate) health: Option<Health>,
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Acts {
    pub(crate) degradations: u64,
    pub(crate) stalls: u64,
    pub(crate) stalls_not_found: u64,
    pub(crate) restarts: u64,
}

#[derive(Debug)]
pub(crate) struct Truth {
    name: String,
    is_ignored: bool,
    known: Mutex<Known>,
    acts: Mutex<Acts>,
    /// The host has emitted `Stalled`, and not yet `Recovered`.
    is_reported_stalled: AtomicBool,
    must_calm_down: AtomicBool,
    is_calm: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Truth {
    pub(crate) fn new(n: usize, is_ignored: bool) -> Self {
        Truth {
            name: format!("service {n}"),
            is_ignored,
            known: Mutex::new(Known { version: 0, health: None }),
            acts: Mutex::default(),
            is_reported_stalled: AtomicBool::new(false),
            must_calm_down: AtomicBool::new(false),
            is_calm: AtomicBool::new(false),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn is_ignored(&self) -> bool {
        self.is_ignored
    }

    pub(crate) fn known(&self) -> Known {
        *lock(&self.known)
    }

    pub(crate) fn set(&self, health: Option<Health>) {
        let mut known = lock(&self.known);
        *known = Known { version: known.version + 1, health };
    }

    pub(crate) fn count(&self, f: impl FnOnce(&mut Acts)) {
        f(&mut lock(&self.acts));
    }

    pub(crate) fn acts(&self) -> Acts {
        *lock(&self.acts)
    }

    pub(crate) fn note(&self, event: &Event) {
        if event.service.as_deref() == Some(&*self.name) {
            match event.kind {
                EventKind::Stalled(_) => self.is_reported_stalled.store(true, Ordering::SeqCst),
                EventKind::Recovered => self.is_reported_stalled.store(false, Ordering::SeqCst),
                _ => {}
            }
        }
    }

    pub(crate) fn is_reported_stalled(&self) -> bool {
        self.is_reported_stalled.load(Ordering::SeqCst)
    }

    /// The service does no new act.
    pub(crate) fn calm_down(&self) {
        self.must_calm_down.store(true, Ordering::SeqCst);
    }

    pub(crate) fn must_calm_down(&self) -> bool {
        self.must_calm_down.load(Ordering::SeqCst)
    }

    /// The service is healthy and does no new act.
    pub(crate) fn mark_calm(&self) {
        self.is_calm.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::SeqCst)
    }
}

impl Acts {
    pub(crate) fn plus(self, other: Acts) -> Acts {
        Acts {
            degradations: self.degradations + other.degradations,
            stalls: self.stalls + other.stalls,
            stalls_not_found: self.stalls_not_found + other.stalls_not_found,
            restarts: self.restarts + other.restarts,
        }
    }
}

impl fmt::Display for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acts { degradations, stalls, stalls_not_found, restarts } = self;
        write!(f, "{degradations} degradations, {stalls} stalls, {restarts} failures with a restart")?;
        write!(f, "; {stalls_not_found} stalls were not found")
    }
}
