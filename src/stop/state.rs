//! The stop signal itself: one node for a source and all its tokens, linked to its parents and children.
//!
//! # Invariants
//!
//! 1. `STOPPED` is set once and never cleared. Whoever's read-modify-write set it is the one requester.
//! 2. Whoever wants to be told of the stop takes the lock of the list it goes on, sets `LISTENED`, *then* looks at
//!    `STOPPED`, then goes on the list. The requester sets `STOPPED`, *then* looks at `LISTENED`, then takes each
//!    lock. Both touch `state` by read-modify-writes, which are totally ordered: either the listener sees the
//!    stop, or the requester sees the listener, and the lists that it made. No wake-up is lost.
//! 3. Nothing goes on a list after the requester has taken that list's lock (follows from 2), so from then on a
//!    slot number means one registration for ever.
//! 4. `SETTLED` says that every callback has run and returned. It is set after `STOPPED`, by who ran them. It saves
//!    the guards of these a look at the list; where there were none it is never set.
//! 5. No lock is held while foreign code runs: callbacks and the drops of what they captured.
//! 6. A child owns its parents; a parent holds its children weakly. Locks are never nested.
//!
//! There is no deadlock among nodes, because no thread ever holds two of their locks (6), and the only waits are
//! for a stop (`wait`) and for a callback that another thread is running (`wait_for_callback`).

#[cfg(feature = "io")]
use super::bell::Bell;
use super::slab::{NONE, Slab};
use super::timer::{self, Due, Key};
use crate::line;
use crate::panic::drop_quietly;
use crate::sync::{Arc, AtomicU32, Caller, Condvar, Mutex, OnceLock, Ordering, Weak, caller, wait};
use crossbeam_channel::{Receiver, Sender, bounded};
use log::Level;
use std::convert::Infallible;
use std::time::Instant;

pub(super) const STOPPED: u32 = 1;
const LISTENED: u32 = 2;
pub(super) const SETTLED: u32 = 4;
/// The timer may hold an entry for this node. Set and read like `LISTENED`, with the timer's lock as the list's.
pub(super) const TIMED: u32 = 8;

pub(super) type Callback = Box<dyn FnOnce() + Send>;

pub(super) struct Node {
    pub(super) state: AtomicU32,
    /// How many `StopSource`s there are: with the last one goes its timer.
    pub(super) sources: AtomicU32,
    pub(super) asleep: Mutex<()>,
    pub(super) awake: Condvar,
    /// Made by the first registration: most tokens never have one.
    pub(super) lists: OnceLock<Box<Lists>>,
    parents: Parents,
}

pub(super) struct Lists {
    pub(super) slabs: Mutex<Slabs>,
    /// A callback has returned.
    pub(super) returned: Condvar,
    done: OnceLock<Receiver<Infallible>>,
    #[cfg(feature = "io")]
    pub(super) bell: OnceLock<Bell>,
}

pub(super) struct Slabs {
    pub(super) callbacks: Slab<Callback>,
    pub(super) children: Slab<Weak<Node>>,
    pub(super) done: Option<Sender<Infallible>>,
    pub(super) running: Option<(u32, Caller)>,
}

/// The parents of a linked node. One is by far the most frequent, and then needs no allocation of its own.
pub(super) enum Parents {
    None,
    One(Link),
    Many(Box<[Link]>),
}

pub(super) struct Link {
    parent: Arc<Node>,
    /// Where the parent keeps its weak hold on this child. Written before the child is shared, read when it drops.
    slot: AtomicU32,
}

impl Link {
    pub(super) fn to(parent: Arc<Node>) -> Self {
        Link { parent, slot: AtomicU32::new(NONE) }
    }

    /// The child is gone. With it its parent may be: then these are the parent's own parents, still to be left.
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

    /// Without recursion: a chain of a million is dropped on a stack of any size.
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
    /// A node with its first source. Born stopped when one of `parents` is.
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
                // Relaxed: the only reader is this node's drop, which is ordered after every use of the node.
                Some(slot) => link.slot.store(slot, Ordering::Relaxed),
                // Relaxed: who sees this node has it from this thread, which `adopt` has shown the parent's stop. Nobody
                // but other parents sees it yet: there is no one to wake.
                None => _ = node.state.fetch_or(STOPPED, Ordering::Relaxed),
            }
        }
        node
    }

    /// One load. Acquire pairs with the requester's Release in `flag` and `flag_listened`: who sees the stop sees what
    /// came before it. (A node that was born stopped was handed over with that.)
    #[inline]
    pub(super) fn stopped(&self) -> bool {
        self.state.load(Ordering::Acquire) & STOPPED != 0
    }

    /// Sleeps until the stop (true) or `until` (false).
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

    /// A receiver that disconnects at the stop.
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

    /// Puts a callback on the list; hands it back when the stop was requested before.
    #[inline]
    pub(super) fn register(&self, callback: Callback) -> Result<u32, Callback> {
        let mut slabs = self.lists().slabs.lock();
        if self.listen() { Err(callback) } else { Ok(slabs.callbacks.insert(callback)) }
    }

    /// Takes a callback off its list. True: it has not run and never will. Never waits.
    #[inline]
    pub(super) fn deregister(&self, slot: u32) -> bool {
        if self.settled() {
            return false;
        }
        let removed = self.lists().slabs.lock().callbacks.remove(slot);
        let never_ran = removed.is_some();
        if let Err(text) = drop_quietly(removed) {
            let what = "dropping an unregistered stop callback panicked";
            line::log(Level::Error, "hosted::service", format_args!("{what}: {text}"));
        }
        never_ran
    }

    /// Waits until the callback of `slot` is no longer running, unless it is this very thread that runs it.
    pub(super) fn wait_for_callback(&self, slot: u32) {
        if self.settled() {
            return;
        }
        let lists = self.lists();
        let mut slabs = lists.slabs.lock();
        while slabs.running.is_some_and(|(running, runner)| running == slot && runner != caller()) {
            wait(&lists.returned, &mut slabs, None);
        }
    }

    /// Requests the stop at `at`, instead of when it was due before; `None` takes it back. Returns `false` if the timer has no
    /// thread.
    pub(super) fn stop_at(self: &Arc<Self>, at: Option<Instant>) -> bool {
        let due: Weak<dyn Due> = Arc::<Self>::downgrade(self);
        // Relaxed: the timer's lock, held around this, orders it for a requester that disarms.
        timer::arm(self.key(), due, at, || self.state.fetch_or(TIMED, Ordering::Relaxed) & STOPPED == 0)
    }

    /// The last source is gone.
    pub(super) fn abandon(&self) {
        // Relaxed: the count of sources, by which this is the last, orders it after their `stop_at`.
        if self.state.load(Ordering::Relaxed) & TIMED != 0 {
            timer::disarm(self.key());
        }
    }

    pub(super) fn key(&self) -> Key {
        std::ptr::from_ref(self).addr()
    }

    #[inline]
    fn settled(&self) -> bool {
        self.state.load(Ordering::Acquire) & SETTLED != 0
    }

    /// Says that somebody is about to go on a list whose lock the caller holds (invariant 2). True: too late.
    ///
    /// A write also where `LISTENED` is set already: it is what shows the requester the lists that this listener made.
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
        // After the stop the children's list has been taken, or is about to be, as a whole. So it was, too, where this
        // child came too late to be on it.
        if !self.stopped() {
            drop(self.lists().slabs.lock().children.remove(slot));
        }
    }
}

impl Drop for Node {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.parents, Parents::None) {
            self.parents.take().leave(); // few nodes have any
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
