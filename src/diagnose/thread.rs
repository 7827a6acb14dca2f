//! A thread of this process as others know it, and what a thread knows of itself.

#[cfg(target_os = "linux")]
use super::stat::Observation;
use super::stat::Sleep;
use super::wait_kind::{ServiceRecord, Waits};
#[cfg(target_os = "linux")]
use crate::util::sync::Mutex;
use crate::util::sync::{Arc, Gauge, Ordering, thread_local};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::time::Instant;

/// A thread of this process, for others to look at.
#[derive(Clone)]
pub(crate) struct ThreadProbe(pub(super) Arc<Shared>);

pub(super) struct Shared {
    /// As the kernel numbers it. After its end another thread may have the number.
    pub(super) number: u32,
    /// When the kernel started it. Two threads with the same number differ in this.
    pub(super) born: u64,
    /// 1 from the end of the thread on.
    over: Gauge,
    pub(super) waits: ServiceRecord,
    #[cfg(target_os = "linux")]
    pub(super) memory: Mutex<LastObservation>,
}

/// What is remembered of a thread from one sample to the next.
#[cfg(target_os = "linux")]
#[derive(Default)]
pub(super) struct LastObservation {
    /// The first sample that was like the latest.
    pub(super) first: Option<Observation>,
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
    thread: OnceCell<ThreadProbe>,
    at_end: Cell<Option<Box<dyn FnOnce()>>>,
}

thread_local! {
    static THIS: This = This::default();
}

/// The end of a thread: what is registered first is dropped last, after all other thread-local values.
impl Drop for This {
    fn drop(&mut self) {
        if let Some(ThreadProbe(shared)) = self.thread.get() {
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
        with_slot(ServiceRecord::end);
    }
}

#[inline]
fn with_slot(f: impl FnOnce(&ServiceRecord)) {
    _ = THIS.try_with(|this| this.thread.get().map(|thread| f(&thread.0.waits)));
}

impl ThreadProbe {
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
                Some(this.thread.get_or_init(|| ThreadProbe::of(number, born)).clone())
            }
        });
        known.ok().flatten()
    }

    pub(super) fn of(number: u32, born: u64) -> Self {
        ThreadProbe(Arc::new(Shared {
            number,
            born,
            over: Gauge::new(0),
            waits: ServiceRecord::new(),
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

impl fmt::Display for ThreadProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.number)
    }
}

impl fmt::Debug for ThreadProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadProbe({})", self.0.number)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::super::ProcSnapshot;
    use super::{ThreadProbe, at_thread_end};
    use std::cell::RefCell;
    use std::sync::mpsc;
    use std::thread;

    /// Says its name when it is dropped.
    struct Dropped(&'static str, mpsc::Sender<&'static str>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            _ = self.1.send(self.0);
        }
    }

    thread_local! {
        static LOCAL: RefCell<Vec<Dropped>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn a_thread_is_over_for_all_who_know_it_once_it_has_ended() {
        let (tell, told) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            tell.send(ThreadProbe::this().unwrap()).unwrap();
            _ = held.recv();
        });
        let handle = told.recv().unwrap();
        assert!(!handle.is_over() && !handle.is_this() && handle.blocked_in(&ProcSnapshot::new()).is_some());
        drop(release);
        thread.join().unwrap();
        assert!(handle.is_over());
        assert_eq!(handle.blocked_in(&ProcSnapshot::new()), None);
    }

    #[test]
    fn the_end_of_a_thread_is_told_after_its_thread_local_destructors() {
        let (tell, told) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (last, local) = (Dropped("end", tell.clone()), Dropped("local", tell));
            assert!(at_thread_end(move || drop(last)));
            LOCAL.with_borrow_mut(|locals| locals.push(local));
        });
        thread.join().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), ["local", "end"]);
    }

    #[test]
    fn a_thread_is_one_and_the_same_however_often_it_is_asked() {
        let [first, second] = [(); 2].map(|()| ThreadProbe::this().unwrap());
        assert!(first.is_this() && second.is_this());
        assert_eq!(first.blocked_in(&ProcSnapshot::new()).as_deref(), Some("running"));
        let other = thread::spawn(|| ThreadProbe::this().unwrap()).join().unwrap();
        assert!(!other.is_this() && other.to_string() != first.to_string());
    }
}
