//! `ThreadProbe`: a thread of this process as other threads observe it, and the thread-local state behind it.

use super::pulse::Pulse;
#[cfg(target_os = "linux")]
use super::stat::{Observation, Sleep};
use super::wait_kind::{WaitSlot, Waits};
#[cfg(target_os = "linux")]
use crate::util::sync::Mutex;
use crate::util::sync::{Arc, Gauge, Ordering, thread_local};
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::time::Instant;

/// A handle by which other threads observe one thread of this process.
#[derive(Clone)]
pub(crate) struct ThreadProbe(pub(super) Arc<Shared>);

pub(super) struct Shared {
    /// The kernel's thread ID. After the thread has ended, another thread may get the same ID.
    pub(super) tid: u32,
    /// When the kernel started the thread. Two threads with the same ID differ in their start time.
    pub(super) start_time: u64,
    /// 0 while the thread lives, and 1 after it has ended.
    ended: Gauge,
    pub(super) wait: WaitSlot,
    #[cfg(target_os = "linux")]
    pub(super) last: Mutex<LastObservation>,
}

/// What is kept about a thread from one observation to the next.
#[cfg(target_os = "linux")]
#[derive(Default)]
pub(super) struct LastObservation {
    /// The first observation of the sleep or run in which the thread was observed last.
    pub(super) first: Option<Observation>,
    /// The latest sleep whose sockets were shut down.
    #[cfg_attr(
        not(feature = "disconnect"),
        allow(dead_code, reason = "only the forced disconnect shuts sockets down")
    )]
    pub(super) shut_down_in: Option<Sleep>,
}

/// The thread-local state of a thread.
#[derive(Default)]
struct CurrentThread {
    probe: OnceCell<ThreadProbe>,
    /// If the thread runs a service that is watched for stalls.
    pulse: OnceCell<Arc<Pulse>>,
    at_end: Cell<Option<Box<dyn FnOnce()>>>,
}

thread_local! {
    static CURRENT: CurrentThread = CurrentThread::default();
}

/// Runs at the end of the thread. Thread-local values are dropped in the reverse order of their first use, so if this value
/// is used first, it is dropped after all others.
impl Drop for CurrentThread {
    fn drop(&mut self) {
        if let Some(ThreadProbe(shared)) = self.probe.get() {
            // Release pairs with the Acquire in `has_ended`.
            shared.ended.store(1, Ordering::Release);
        }
        if let Some(at_end) = self.at_end.take() {
            at_end();
        }
    }
}

/// Calls `f` when the calling thread ends. If the thread has not used any thread-local value before this call, `f` runs
/// after the destructors of all thread-local values.
///
/// `f` must not panic. Returns `false`, and drops `f`, if the thread is ending already.
pub(crate) fn at_thread_end(f: impl FnOnce() + 'static) -> bool {
    CURRENT.try_with(|current| current.at_end.set(Some(Box::new(f)))).is_ok()
}

/// Gives the calling thread the pulse of the service that it runs. Its waits then are signs of life.
pub(crate) fn set_pulse(pulse: Arc<Pulse>) {
    // A thread runs one service, so there is no pulse yet. A thread that is ending has nothing left to show.
    _ = CURRENT.try_with(|current| current.pulse.set(pulse));
}

/// Shows a sign of life, if the calling thread runs a service that is watched for stalls.
#[inline]
pub(crate) fn show_life() {
    _ = CURRENT.try_with(|current| current.pulse.get().map(|pulse| pulse.beat_on_own_thread()));
}

/// Records what the calling thread waits for, until the returned guard is dropped. Inside another recorded wait, only the
/// outer wait counts. On a thread that runs no service it does nothing.
///
/// The caller must not hold a lock, neither now nor when it drops the guard: after a stall, both wake the monitor.
#[inline]
pub(crate) fn waiting(kind: Waits, until: Option<Instant>) -> Waiting {
    Waiting::begin(|current| current.probe.get().is_some_and(|probe| probe.0.wait.begin(kind, until)))
}

/// Records a wait in a system call, which describes itself better than a [`Waits`] does: it has descriptors.
#[cfg(feature = "io")]
pub(crate) fn waiting_in_call() -> Waiting {
    Waiting::begin(|_| false)
}

/// The guard of a recorded wait. Created by [`waiting`].
#[must_use = "the wait is over when this is dropped"]
pub(crate) struct Waiting {
    /// This wait is the one in the slot of the thread.
    is_described: bool,
    /// The thread has begun to rest with this wait.
    rests: bool,
}

impl Waiting {
    #[inline]
    fn begin(describe: impl FnOnce(&CurrentThread) -> bool) -> Self {
        let begin = |current: &CurrentThread| Waiting {
            is_described: describe(current),
            rests: current.pulse.get().is_some_and(|pulse| !pulse.begin_rest()),
        };
        CURRENT.try_with(begin).unwrap_or(Waiting { is_described: false, rests: false })
    }
}

impl Drop for Waiting {
    #[inline]
    fn drop(&mut self) {
        if !self.is_described && !self.rests {
            return;
        }
        _ = CURRENT.try_with(|current| {
            if let Some(probe) = current.probe.get().filter(|_| self.is_described) {
                probe.0.wait.end();
            }
            if let Some(pulse) = current.pulse.get().filter(|_| self.rests) {
                pulse.end_rest();
            }
        });
    }
}

impl ThreadProbe {
    /// Returns the probe of the calling thread, or `None` if the kernel does not report the thread's ID.
    pub(crate) fn this() -> Option<Self> {
        let read = || {
            #[cfg(target_os = "linux")]
            return super::stat::current_thread();
            #[cfg(not(target_os = "linux"))]
            None
        };
        let probe = CURRENT.try_with(|current| match current.probe.get() {
            Some(probe) => Some(probe.clone()),
            None => {
                let (tid, start_time) = read()?;
                Some(current.probe.get_or_init(|| ThreadProbe::of(tid, start_time)).clone())
            }
        });
        probe.ok().flatten()
    }

    pub(super) fn of(tid: u32, start_time: u64) -> Self {
        ThreadProbe(Arc::new(Shared {
            tid,
            start_time,
            ended: Gauge::new(0),
            wait: WaitSlot::new(),
            #[cfg(target_os = "linux")]
            last: Mutex::default(),
        }))
    }

    /// Returns `true` if this is the calling thread.
    pub(super) fn is_current(&self) -> bool {
        let is_same = |current: &CurrentThread| current.probe.get().is_some_and(|probe| Arc::ptr_eq(&probe.0, &self.0));
        CURRENT.try_with(is_same).unwrap_or(false)
    }

    /// Returns `true` if the thread has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire) != 0
    }
}

impl fmt::Display for ThreadProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.tid)
    }
}

impl fmt::Debug for ThreadProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ThreadProbe({})", self.0.tid)
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

    /// Sends its name when it is dropped.
    struct NamesItselfOnDrop(&'static str, mpsc::Sender<&'static str>);

    impl Drop for NamesItselfOnDrop {
        fn drop(&mut self) {
            _ = self.1.send(self.0);
        }
    }

    thread_local! {
        static LOCAL: RefCell<Vec<NamesItselfOnDrop>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn every_clone_of_a_probe_sees_that_its_thread_has_ended() {
        let (sender, probes) = mpsc::channel();
        let (release, held) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            sender.send(ThreadProbe::this().unwrap()).unwrap();
            _ = held.recv();
        });
        let probe = probes.recv().unwrap();
        assert!(!probe.has_ended() && !probe.is_current() && probe.blocked_in(&ProcSnapshot::new()).is_some());
        drop(release);
        thread.join().unwrap();
        assert!(probe.has_ended());
        assert_eq!(probe.blocked_in(&ProcSnapshot::new()), None);
    }

    #[test]
    fn at_thread_end_runs_after_the_destructors_of_thread_local_values() {
        let (sender, dropped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let (last, local) = (NamesItselfOnDrop("end", sender.clone()), NamesItselfOnDrop("local", sender));
            assert!(at_thread_end(move || drop(last)));
            LOCAL.with_borrow_mut(|locals| locals.push(local));
        });
        thread.join().unwrap();
        assert_eq!(dropped.iter().collect::<Vec<_>>(), ["local", "end"]);
    }

    #[test]
    fn a_thread_always_gets_the_same_probe_of_itself() {
        let [first, second] = [(); 2].map(|()| ThreadProbe::this().unwrap());
        assert!(first.is_current() && second.is_current());
        assert_eq!(first.blocked_in(&ProcSnapshot::new()).as_deref(), Some("running"));
        let other = thread::spawn(|| ThreadProbe::this().unwrap()).join().unwrap();
        assert!(!other.is_current() && other.to_string() != first.to_string());
    }
}
