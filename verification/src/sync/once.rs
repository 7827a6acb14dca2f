//! A cell that is written once, with the standard library's signatures and a checker's synchronization.

use super::checker::sync::Mutex;
use super::{AtomicUsize, Ordering};
use std::cell::RefCell;
use std::sync;

/// More cells than these no execution of a model makes.
const CELLS: usize = 16;

thread_local! {
    /// All threads of a model are on one thread of the operating system.
    static GATES: RefCell<Vec<Gate>> = const { RefCell::new(Vec::new()) };
}

/// To be called first in every execution under loom: there, who makes an atomic must have synchronized with all who use
/// it. A cell cannot make its gate itself, as it may have to be made in a `static`; so it takes one of these.
pub(crate) fn begin() {
    GATES.set((0..CELLS).map(|_| Gate::new()).collect());
}

pub(crate) struct OnceLock<T> {
    value: sync::OnceLock<T>,
    /// Had at the first use: a checker's types cannot be made in a `static`, and this one can.
    gate: sync::OnceLock<Gate>,
}

struct Gate {
    /// 1 once there is a value. Its Release and Acquire are what a reader of the value synchronizes by.
    full: AtomicUsize,
    writing: Mutex<()>,
}

impl<T> OnceLock<T> {
    pub(crate) const fn new() -> Self {
        OnceLock { value: sync::OnceLock::new(), gate: sync::OnceLock::new() }
    }

    pub(crate) fn get(&self) -> Option<&T> {
        if self.gate().full.load(Ordering::Acquire) == 1 { self.value.get() } else { None }
    }

    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        let gate = self.gate();
        let _writing = gate.writing.lock().unwrap();
        if self.value.get().is_none() {
            assert!(self.value.set(make()).is_ok(), "only who holds the lock writes");
            gate.full.store(1, Ordering::Release);
        }
        self.value.get().unwrap()
    }

    fn gate(&self) -> &Gate {
        self.gate.get_or_init(|| GATES.with_borrow_mut(Vec::pop).unwrap_or_else(Gate::new))
    }
}

impl Gate {
    fn new() -> Self {
        Gate { full: AtomicUsize::new(0), writing: Mutex::new(()) }
    }
}
