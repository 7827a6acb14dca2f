//! A cell that is written once, with the standard library's signatures and the synchronization of a checker.

use super::checker::sync::Mutex;
use super::{AtomicUsize, Ordering};
use std::cell::RefCell;
use std::sync;

/// No execution of a model creates more cells than this.
const CELLS: usize = 16;

thread_local! {
    /// All threads of a model run on one thread of the operating system.
    static GATES: RefCell<Vec<Gate>> = const { RefCell::new(Vec::new()) };
}

/// Every execution under loom must call this first. Loom requires that the creator of an atomic has synchronized with
/// all its users. A cell cannot create its gate itself, because it may be in a `static`, so it takes one of these.
pub(crate) fn begin() {
    GATES.set((0..CELLS).map(|_| Gate::new()).collect());
}

pub(crate) struct OnceLock<T> {
    value: sync::OnceLock<T>,
    /// Taken at the first use: a checker's types cannot be created in a `static`, but this cell can.
    gate: sync::OnceLock<Gate>,
}

struct Gate {
    /// 1 once there is a value. Its Release and Acquire synchronize the writer with the readers of the value.
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
            assert!(self.value.set(make()).is_ok(), "only the holder of the lock writes");
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
