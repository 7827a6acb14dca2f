//! The state behind a stop signal: one node for a source, its clones and all their tokens. A linked node refers to its
//! parents, and its parents refer to it.
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
//!    `STOPPED`. Guards of callbacks then need not take the lock. A node without callbacks never sets it.
//! 5. No lock is held while user code runs: callbacks, and the drops of what they captured.
//! 6. A child owns its parents; a parent holds its children weakly. Locks are never nested.
//!
//! Nodes cannot deadlock, because no thread ever holds two of their locks (6). A thread waits only for a stop (`wait`) or
//! for a callback that another thread is running (`wait_for_callback`).

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

/// A stop was requested.
pub(super) const STOPPED: u32 = 1;
/// The node may have listeners: waiters, callbacks, children, a `done` channel or a wake descriptor.
const LISTENED: u32 = 2;
/// Every callback has run and returned.
pub(super) const CALLBACKS_DONE: u32 = 4;
/// The timer may hold an entry for this node. This flag is set and read like `LISTENED`, with the lock of the timer.
pub(super) const TIMED: u32 = 8;

pub(super) type Callback = Box<dyn FnOnce() + Send>;

pub(super) struct Node {
    pub(super) state: AtomicU32,
    /// The number of `StopSource`s. The last one to be dropped removes the timer entry.
    pub(super) sources: AtomicU32,
    /// Held by a waiter from its check of `STOPPED` until it sleeps.
    pub(super) asleep: Mutex<()>,
    /// Notified at the stop.
    pub(super) awake: Condvar,
    /// Created by the first registration. Most nodes never have one, and stay small.
    pub(super) listeners: OnceLock<Box<Listeners>>,
    parents: Parents,
}

/// Everything that reacts to the stop, except the threads that sleep in `Node::wait`.
pub(super) struct Listeners {
    pub(super) registrations: Mutex<Registrations>,
    /// Notified when a callback has returned.
    pub(super) returned: Condvar,
    /// The receiver of `StopToken::done`. It disconnects when `Registrations::done` is dropped.
    done: OnceLock<Receiver<Infallible>>,
    #[cfg(feature = "io")]
    pub(super) wake_fd: OnceLock<WakeFd>,
}

pub(super) struct Registrations {
    pub(super) callbacks: Slab<Callback>,
    pub(super) children: Slab<Weak<Node>>,
    /// The sender behind `Listeners::done`. Dropped at the stop.
    pub(super) done: Option<Sender<Infallible>>,
    /// The slot of the callback that is running, and the thread that runs it.
    pub(super) running: Option<(u32, Caller)>,
}

/// The parents of a linked node. Most linked nodes have one parent, and then need no extra allocation.
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

    /// Unlinks a child that is being dropped. Returns the grandparents if this child was the last owner of the parent.
    fn unlink(self) -> Option<Parents> {
        self.parent.remove_child(self.slot.load(Ordering::Relaxed));
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

    /// Unlinks a child that is being dropped from all its parents, and drops the ancestors that it owned alone. Iterative, so
    /// that a chain of a million nodes can be dropped on a stack of any size.
    fn unlink(self) {
        let mut parents = self;
        let mut orphaned = Vec::new();
        loop {
            match parents {
                Parents::None => {}
                Parents::One(link) => orphaned.extend(link.unlink()),
                Parents::Many(links) => orphaned.extend(links.into_iter().filter_map(Link::unlink)),
            }
            let Some(next) = orphaned.pop() else { return };
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
            listeners: OnceLock::new(),
            parents,
        });
        for link in node.parents.links() {
            match link.parent.add_child(Arc::downgrade(&node)) {
                // Relaxed: only the drop of this node reads the slot, and the drop is ordered after every use of the node.
                Some(slot) => link.slot.store(slot, Ordering::Relaxed),
                // Relaxed is enough: the node is still private to this thread and its parents, and `add_child` has
                // synchronised with the stop of the parent. The node has no waiter yet, so no wake-up is needed.
                None => _ = node.state.fetch_or(STOPPED, Ordering::Relaxed),
            }
        }
        node
    }

    /// Returns `true` if a stop was requested. This takes one atomic load.
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
        let listeners = self.listeners();
        listeners.done.get_or_init(|| {
            let (sender, receiver) = bounded(0);
            let mut registrations = listeners.registrations.lock();
            if !self.listen() {
                registrations.done = Some(sender);
            }
            receiver
        })
    }

    /// Adds a callback to the list. Returns the callback if the stop was requested before.
    #[inline]
    pub(super) fn register(&self, callback: Callback) -> Result<u32, Callback> {
        let mut registrations = self.listeners().registrations.lock();
        if self.listen() { Err(callback) } else { Ok(registrations.callbacks.insert(callback)) }
    }

    /// Removes a callback from its list, without waiting. Returns `true` if the callback has not run and never will.
    #[inline]
    pub(super) fn deregister(&self, slot: u32) -> bool {
        if self.callbacks_done() {
            return false;
        }
        let removed = self.listeners().registrations.lock().callbacks.remove(slot);
        let never_ran = removed.is_some();
        if let Err(text) = drop_catching_panic(removed) {
            let text = format_args!("panic while dropping an unregistered stop callback: {text}");
            log_line(Level::Error, "hosted::service", text);
        }
        never_ran
    }

    /// Waits until the callback in `slot` is no longer running. Returns at once if the calling thread is running it.
    pub(super) fn wait_for_callback(&self, slot: u32) {
        if self.callbacks_done() {
            return;
        }
        let listeners = self.listeners();
        let _waiting = waiting(Waits::Callback, None);
        let mut registrations = listeners.registrations.lock();
        while registrations.running.is_some_and(|(running, runner)| running == slot && runner != caller()) {
            wait(&listeners.returned, &mut registrations, None);
        }
    }

    /// Schedules the stop for `at`, and replaces an earlier schedule. `None` cancels the schedule. Returns `false` if the
    /// timer has no thread.
    pub(super) fn stop_at(self: &Arc<Self>, at: Option<Instant>) -> bool {
        let target: Weak<dyn Due> = Arc::<Self>::downgrade(self);
        // Relaxed: `schedule_stop` holds the timer's lock around this write, and `cancel_stop` takes the same lock.
        timer::schedule_stop(self.key(), target, at, || self.state.fetch_or(TIMED, Ordering::Relaxed) & STOPPED == 0)
    }

    /// Cancels the scheduled stop. Called when the last source is dropped.
    pub(super) fn cancel_schedule(&self) {
        // Relaxed: the counter of sources orders this read after every `stop_at` of the other sources.
        if self.state.load(Ordering::Relaxed) & TIMED != 0 {
            timer::cancel_stop(self.key());
        }
    }

    /// Returns the key of this node in the timer.
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
    /// This is a write even if `LISTENED` is already set, because the write publishes the lists that this listener created.
    pub(super) fn listen(&self) -> bool {
        self.state.fetch_or(LISTENED, Ordering::AcqRel) & STOPPED != 0
    }

    #[inline]
    pub(super) fn listeners(&self) -> &Listeners {
        self.listeners.get_or_init(|| {
            let registrations =
                Registrations { callbacks: Slab::new(), children: Slab::new(), done: None, running: None };
            Box::new(Listeners {
                registrations: Mutex::new(registrations),
                returned: Condvar::new(),
                done: OnceLock::new(),
                #[cfg(feature = "io")]
                wake_fd: OnceLock::new(),
            })
        })
    }

    /// Adds a child to the list. Returns its slot, or `None` if the stop was requested before.
    fn add_child(&self, child: Weak<Node>) -> Option<u32> {
        let mut registrations = self.listeners().registrations.lock();
        if self.listen() { None } else { Some(registrations.children.insert(child)) }
    }

    /// Removes a child from the list.
    fn remove_child(&self, slot: u32) {
        // After the stop, the requester has taken the whole list of children or is about to. A child that was added after
        // the stop never joined the list. In both cases there is nothing to remove.
        if !self.stopped() {
            drop(self.listeners().registrations.lock().children.remove(slot));
        }
    }
}

impl Drop for Node {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.parents, Parents::None) {
            self.parents.take().unlink();
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_node_takes_at_most_64_bytes() {
        assert!(size_of::<super::Node>() <= 64);
    }
}
