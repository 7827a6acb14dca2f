//! The stop signal: one node for a source and all its tokens, linked to its parents and children.
//!
//! # Invariants
//!
//! 1. `STOPPED` is set once and never cleared. The thread whose read-modify-write set it is the only requester.
//! 2. A listener takes the lock of its list, sets `LISTENED`, *then* reads `STOPPED`, then joins the list. The
//!    requester sets `STOPPED`, *then* reads `LISTENED`, then takes each lock. Both use read-modify-writes on `state`,
//!    which are totally ordered. Either the listener sees the stop, or the requester sees the listener and its lists.
//!    So no wake-up is lost.
//! 3. Nothing joins a list after the requester has taken the lock of that list (follows from 2). From then on a slot
//!    number identifies one registration forever.
//! 4. `CALLBACKS_DONE` means that every callback has run and returned. The thread that ran them sets it, after
//!    `STOPPED`. It lets the guards skip the list. A node without callbacks never sets it.
//! 5. No lock is held while user code runs: callbacks, and the drops of what they captured.
//! 6. A child owns its parents; a parent holds its children weakly. Locks are never nested.
//!
//! Nodes cannot deadlock: no thread ever holds two of their locks (6). A thread waits only for a stop (`wait`) or for
//! a callback that another thread is running (`wait_for_callback`).

use super::slab::{NONE, Slab};
use super::timer;
use super::timer::{Due, Key};
#[cfg(feature = "io")]
use super::wake_fd::WakeFd;
use crate::diagnose::{Waits, waiting};
use crate::util::log::log_line;
use crate::util::panic::drop_catching_panic;
use crate::util::sync::{Arc, AtomicU32, Caller, Condvar, Mutex, OnceLock, Ordering, Weak, caller, wait};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::Level;
use std::convert::Infallible;
use std::time::Instant;

pub(super) const STOPPED: u32 = 1;
const LISTENED: u32 = 2;
pub(super) const CALLBACKS_DONE: u32 = 4;
/// The timer may hold an entry for this node. Set and read like `LISTENED`; the lock of the list is the timer's lock.
pub(super) const TIMED: u32 = 8;

pub(super) type Callback = Box<dyn FnOnce() + Send>;

pub(super) struct Node {
    pub(super) state: AtomicU32,
    /// The number of `StopSource`s. The last one to be dropped removes the timer entry.
    pub(super) sources: AtomicU32,
    pub(super) asleep: Mutex<()>,
    pub(super) awake: Condvar,
    /// Created by the first registration: most tokens never have one.
    pub(super) lists: OnceLock<Box<Lists>>,
    parents: Parents,
}

pub(super) struct Lists {
    pub(super) slabs: Mutex<Slabs>,
    /// Notified when a callback has returned.
    pub(super) returned: Condvar,
    done: OnceLock<Receiver<Infallible>>,
    #[cfg(feature = "io")]
    pub(super) bell: OnceLock<WakeFd>,
}

pub(super) struct Slabs {
    pub(super) callbacks: Slab<Callback>,
    pub(super) children: Slab<Weak<Node>>,
    pub(super) done: Option<Sender<Infallible>>,
    pub(super) running: Option<(u32, Caller)>,
}

/// The parents of a linked node. One parent is by far the most common case, and needs no extra allocation.
pub(super) enum Parents {
    None,
    One(Link),
    Many(Box<[Link]>),
}

pub(super) struct Link {
    parent: Arc<Node>,
    /// The slot of the parent's weak reference to this child. Written before the child is shared, read when it drops.
    slot: AtomicU32,
}

impl Link {
    pub(super) fn to(parent: Arc<Node>) -> Self {
        Link { parent, slot: AtomicU32::new(NONE) }
    }

    /// Unlinks a child that is being dropped. Returns the grandparents if the parent was only kept alive by this child.
    fn leave(self) -> Option<Parents> {
        self.parent.disown(self.slot.load(Ordering::Relaxed));
        Arc::into_inner(self.parent).map(|mut orphan| orphan.parents.take())
    }
}

impl Parents {
    fn links(&self) -> &[Link] {
        match self {
            Parents::None => &[],
            Parents::One(link) => std::slice::from_ref(link),
            Parents::Many(links) => links,
        }
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Parents::None)
    }

    /// Iterative, so that a chain of a million nodes can be dropped on a stack of any size.
    fn leave(self) {
        let (mut parents, mut others) = (self, Vec::new());
        loop {
            match parents {
                Parents::None => {}
                Parents::One(link) => others.extend(link.leave()),
                Parents::Many(links) => others.extend(links.into_iter().filter_map(Link::leave)),
            }
            let Some(next) = others.pop() else { return };
            parents = next;
        }
    }
}

impl Node {
    /// Creates a node with its first source. The node is stopped from the beginning if one of `parents` is.
    pub(super) fn new(parents: Parents) -> Arc<Self> {
        let node = Arc::new(Node {
            state: AtomicU32::new(0),
            sources: AtomicU32::new(1),
            asleep: Mutex::new(()),
            awake: Condvar::new(),
            lists: OnceLock::new(),
            parents,
        });
        for link in node.parents.links() {
            match link.parent.adopt(Arc::downgrade(&node)) {
                // Relaxed: only the drop of this node reads the slot, and the drop is ordered after every use of the node.
                Some(slot) => link.slot.store(slot, Ordering::Relaxed),
                // Relaxed is enough: the node is still private to this thread and its parents, and `adopt` has synchronised
                // with the stop of the parent. Nobody waits yet, so nobody must be woken.
                None => _ = node.state.fetch_or(STOPPED, Ordering::Relaxed),
            }
        }
        node
    }

    /// Returns `true` if a stop was requested. One load.
    ///
    /// Acquire pairs with the Release of the requester in `flag` and `flag_listened`: a thread that sees the stop also
    /// sees everything that happened before it.
    #[inline]
    pub(super) fn stopped(&self) -> bool {
        self.state.load(Ordering::Acquire) & STOPPED != 0
    }

    /// Sleeps until the stop or `until`. Returns `true` if the stop was requested.
    pub(super) fn wait(&self, until: Option<Instant>) -> bool {
        let mut asleep = self.asleep.lock();
        if self.listen() {
            return true;
        }
        loop {
            let in_time = wait(&self.awake, &mut asleep, until);
            if self.stopped() || !in_time {
                return self.stopped();
            }
        }
    }

    /// Returns a receiver that disconnects at the stop.
    pub(super) fn done(&self) -> &Receiver<Infallible> {
        let lists = self.lists();
        lists.done.get_or_init(|| {
            let (sender, receiver) = bounded(0);
            let mut slabs = lists.slabs.lock();
            if !self.listen() {
                slabs.done = Some(sender);
            }
            receiver
        })
    }

    /// Adds a callback to the list. Returns the callback if the stop was requested before.
    #[inline]
    pub(super) fn register(&self, callback: Callback) -> Result<u32, Callback> {
        let mut slabs = self.lists().slabs.lock();
        if self.listen() { Err(callback) } else { Ok(slabs.callbacks.insert(callback)) }
    }

    /// Removes a callback from its list, without waiting. Returns `true` if the callback has not run and never will.
    #[inline]
    pub(super) fn deregister(&self, slot: u32) -> bool {
        if self.callbacks_done() {
            return false;
        }
        let removed = self.lists().slabs.lock().callbacks.remove(slot);
        let never_ran = removed.is_some();
        if let Err(text) = drop_catching_panic(removed) {
            let what = "dropping an unregistered stop callback panicked";
            log_line(Level::Error, "hosted::service", format_args!("{what}: {text}"));
        }
        never_ran
    }

    /// Waits until the callback of `slot` is no longer running. Returns at once if the calling thread is running it.
    pub(super) fn wait_for_callback(&self, slot: u32) {
        if self.callbacks_done() {
            return;
        }
        let lists = self.lists();
        let mut slabs = lists.slabs.lock();
        let _waiting = waiting(Waits::Callback, None);
        while slabs.running.is_some_and(|(running, runner)| running == slot && runner != caller()) {
            wait(&lists.returned, &mut slabs, None);
        }
    }

    /// Schedules the stop for `at`, and replaces an earlier schedule. `None` cancels the schedule. Returns `false` if the
    /// timer has no thread.
    pub(super) fn stop_at(self: &Arc<Self>, at: Option<Instant>) -> bool {
        let due: Weak<dyn Due> = Arc::<Self>::downgrade(self);
        // Relaxed: `arm` holds the timer's lock around this write, and a requester that disarms takes the same lock.
        timer::schedule_stop(self.key(), due, at, || self.state.fetch_or(TIMED, Ordering::Relaxed) & STOPPED == 0)
    }

    /// Called when the last source is dropped: cancels the schedule.
    pub(super) fn abandon(&self) {
        // Relaxed: the counter of sources orders this read after every `stop_at` of the other sources.
        if self.state.load(Ordering::Relaxed) & TIMED != 0 {
            timer::disarm(self.key());
        }
    }

    pub(super) fn key(&self) -> Key {
        std::ptr::from_ref(self).addr()
    }

    #[inline]
    fn callbacks_done(&self) -> bool {
        self.state.load(Ordering::Acquire) & CALLBACKS_DONE != 0
    }

    /// Announces a listener. The caller holds the lock of the list that it is about to join (invariant 2).
    /// Returns `true` if the stop was already requested, and the caller must not join.
    ///
    /// This is a write even if `LISTENED` is already set: the write publishes the lists that this listener made.
    pub(super) fn listen(&self) -> bool {
        self.state.fetch_or(LISTENED, Ordering::AcqRel) & STOPPED != 0
    }

    #[inline]
    pub(super) fn lists(&self) -> &Lists {
        self.lists.get_or_init(|| {
            let slabs = Slabs { callbacks: Slab::new(), children: Slab::new(), done: None, running: None };
            Box::new(Lists {
                slabs: Mutex::new(slabs),
                returned: Condvar::new(),
                done: OnceLock::new(),
                #[cfg(feature = "io")]
                bell: OnceLock::new(),
            })
        })
    }

    fn adopt(&self, child: Weak<Node>) -> Option<u32> {
        let mut slabs = self.lists().slabs.lock();
        if self.listen() { None } else { Some(slabs.children.insert(child)) }
    }

    fn disown(&self, slot: u32) {
        // After the stop, the requester has taken the whole list of children or is about to. A child that came too late
        // never joined the list. In both cases there is nothing to remove.
        if !self.stopped() {
            drop(self.lists().slabs.lock().children.remove(slot));
        }
    }
}

impl Drop for Node {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.parents, Parents::None) {
            self.parents.take().leave(); // most nodes have no parents
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_node_is_64_bytes_and_one_allocation_with_its_counts_80() {
        assert!(size_of::<super::Node>() <= 64);
    }
}
