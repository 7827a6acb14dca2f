//! A thread of this process as others know it, and what a thread knows of itself.

#[cfg(target_os = "linux")]
use super::stat::{Look, Sleep};
use super::waits::{Slot, Waits};
#[cfg(target_os = "linux")]
use crate::sync::Mutex;
use crate::sync::{Arc, Gauge, Ordering, thread_local};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::time::Instant;

/// A thread of this process, for others to look at.
#[derive(Clone)]
pub(crate) struct Thread(pub(super) Arc<Shared>);

pub(super) struct Shared {
    /// As the kernel numbers it. After its end another thread may have the number.
    pub(super) number: u32,
    /// When the kernel started it. Two threads with the same number differ in this.
    pub(super) born: u64,
    /// 1 from the end of the thread on.
    over: Gauge,
    pub(super) waits: Slot,
    #[cfg(target_os = "linux")]
    pub(super) memory: Mutex<Memory>,
}

/// What is remembered of a thread from one sample to the next.
#[cfg(target_os = "linux")]
#[derive(Default)]
pub(super) struct Memory {
    /// The first sample that was like the latest.
    pub(super) first: Option<Look>,
    /// The latest sleep whose sockets were shut down.
    #[cfg_attr(
        not(feature = "disconnect"),
        allow(dead_code, reason = "only the forced disconnect shuts sockets down")
    )]
    pub(super) shut_in: Option<Sleep>,
}

/// What a thread knows of itself.
#[derive(Default)]
struct This {
    thread: OnceCell<Thread>,
    at_end: Cell<Option<Box<dyn FnOnce()>>>,
}

thread_local! {
    static THIS: This = This::default();
}

/// The end of a thread: what is registered first is dropped last, after all other thread-local values.
impl Drop for This {
    fn drop(&mut self) {
        if let Some(Thread(shared)) = self.thread.get() {
            // Release pairs with the Acquire in `is_over`.
            shared.over.store(1, Ordering::Release);
        }
        if let Some(at_end) = self.at_end.take() {
            at_end();
        }
    }
}

/// Calls `f` when the calling thread ends: after the destructors of its thread-local values, if this is called before
/// the thread has any. `f` must not panic. Returns `false` if the thread ends already, and drops `f`.
pub(crate) fn at_thread_end(f: impl FnOnce() + 'static) -> bool {
    THIS.try_with(|this| this.at_end.set(Some(Box::new(f)))).is_ok()
}

/// Says what the calling thread waits for, until the guard is dropped. On a thread that nobody looks at it does nothing.
#[inline]
pub(crate) fn waiting(waits: Waits, until: Option<Instant>) -> Waiting {
    with_slot(|slot| slot.begin(waits, until));
    Waiting(())
}

/// A wait of the calling thread, from [`waiting`].
#[must_use = "the wait is over when this is dropped"]
pub(crate) struct Waiting(());

impl Drop for Waiting {
    #[inline]
    fn drop(&mut self) {
        with_slot(Slot::end);
    }
}

#[inline]
fn with_slot(f: impl FnOnce(&Slot)) {
    _ = THIS.try_with(|this| this.thread.get().map(|thread| f(&thread.0.waits)));
}

impl Thread {
    /// The calling thread. `None` if the kernel does not say which that is.
    pub(crate) fn this() -> Option<Self> {
        let read = || {
            #[cfg(target_os = "linux")]
            return super::stat::this();
            #[cfg(not(target_os = "linux"))]
            None
        };
        let known = THIS.try_with(|this| match this.thread.get() {
            Some(thread) => Some(thread.clone()),
            None => {
                let (number, born) = read()?;
                Some(this.thread.get_or_init(|| Thread::of(number, born)).clone())
            }
        });
        known.ok().flatten()
    }

    pub(super) fn of(number: u32, born: u64) -> Self {
        Thread(Arc::new(Shared {
            number,
            born,
            over: Gauge::new(0),
            waits: Slot::new(),
            #[cfg(target_os = "linux")]
            memory: Mutex::default(),
        }))
    }

    /// Returns `true` if this is the calling thread.
    pub(super) fn is_this(&self) -> bool {
        let same = |this: &This| this.thread.get().is_some_and(|thread| Arc::ptr_eq(&thread.0, &self.0));
        THIS.try_with(same).unwrap_or(false)
    }

    /// Returns `true` once the thread has ended.
    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Acquire) != 0
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.number)
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Thread({})", self.0.number)
    }
}
