//! Requesting a stop: flags and wakes the whole subtree of nodes first, and returns the callbacks to the requester.

use super::callback_threads::log_panic;
use super::node::{CALLBACKS_DONE, Node, STOPPED, TIMED};
use super::slab::Slab;
use super::timer::Due;
use super::{callback_threads, timer};
use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, Ordering, Weak, caller};

/// The callbacks of a requested stop, which have not run yet. When this value is created, every flag in the subtree is set
/// and every waiter is woken.
#[must_use = "the callbacks run only if a method of this type is called"]
#[derive(Clone, Default)]
pub(crate) struct PendingCallbacks(Vec<Arc<Node>>);

/// Flags and wakes the whole subtree of `root`. Returns `None` if the stop was requested before.
#[inline]
pub(super) fn request_stop(root: &Arc<Node>) -> Option<PendingCallbacks> {
    match root.flag() {
        Flagged::Before => None,
        Flagged::WithoutListeners => Some(PendingCallbacks::default()),
        Flagged::WithListeners => Some(wake_subtree(root)),
    }
}

/// Wakes the listeners of `root`, then flags and wakes the nodes below it. Iterative, so that a long chain of nodes needs no
/// deep stack.
fn wake_subtree(root: &Arc<Node>) -> PendingCallbacks {
    let mut node = root.clone();
    let mut flagged = Vec::new();
    let mut found = Vec::new();
    loop {
        let (children, has_callbacks) = node.wake_all();
        let children = children.into_values().filter_map(|child| child.upgrade());
        flagged.extend(children.filter(|child| matches!(child.flag(), Flagged::WithListeners)));
        if has_callbacks {
            found.push(node);
        }
        match flagged.pop() {
            Some(next) => node = next,
            None => return PendingCallbacks(found),
        }
    }
}

/// The result of setting `STOPPED`.
enum Flagged {
    /// An earlier request had set it.
    Before,
    /// This request set it, and the node never had a listener. Nothing else is left to do.
    WithoutListeners,
    /// This request set it, and the node may have listeners to wake.
    WithListeners,
}

impl Node {
    #[inline]
    fn flag(&self) -> Flagged {
        // Release pairs with the Acquire in `stopped`. Acquire is not needed: the replaced value is the initial 0, and no
        // other thread has written to it.
        match self.state.compare_exchange(0, STOPPED, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Flagged::WithoutListeners,
            Err(_) => self.flag_listened(),
        }
    }

    fn flag_listened(&self) -> Flagged {
        // Release pairs with the Acquire in `stopped`. Acquire pairs with `listen`, which published the lists.
        let before = self.state.fetch_or(STOPPED, Ordering::AcqRel);
        if before & STOPPED != 0 {
            return Flagged::Before;
        }
        if before & TIMED != 0 {
            timer::cancel_stop(self.key());
        }
        Flagged::WithListeners
    }

    /// Wakes all waiters. Returns the children, and whether the node has callbacks.
    fn wake_all(&self) -> (Slab<Weak<Node>>, bool) {
        // A waiter that has not seen `STOPPED` holds this lock until it sleeps. Taking the lock once therefore ensures that
        // the notification reaches it. The notification comes after the release, because a woken thread needs the lock.
        drop(self.asleep.lock());
        self.awake.notify_all();
        let Some(listeners) = self.listeners.get() else { return (Slab::new(), false) };
        let mut registrations = listeners.registrations.lock();
        let children = std::mem::replace(&mut registrations.children, Slab::new());
        let done = registrations.done.take();
        let has_callbacks = !registrations.callbacks.is_empty();
        drop(registrations);
        drop(done);
        #[cfg(feature = "io")]
        listeners.wake_fd.get().inspect(|wake_fd| wake_fd.signal());
        (children, has_callbacks)
    }

    /// Runs the callbacks, one after another, with no lock held. Calls `panicked` with the message of each panic.
    fn run_callbacks(&self, panicked: &mut impl FnMut(String)) {
        let listeners = self.listeners();
        let runner = caller();
        let mut from = 0;
        let mut registrations = listeners.registrations.lock();
        while let Some((slot, callback)) = registrations.callbacks.take_from(from) {
            from = slot + 1;
            registrations.running = Some((slot, runner));
            drop(registrations);
            if let Err(text) = catch_panic(callback) {
                panicked(text);
            }
            registrations = listeners.registrations.lock();
            registrations.running = None;
            listeners.returned.notify_all();
        }
        drop(registrations);
        self.state.fetch_or(CALLBACKS_DONE, Ordering::Release);
    }
}

impl PendingCallbacks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns these callbacks, or `others` if there are none. The callbacks of one stop are returned only once.
    pub(crate) fn or(self, others: PendingCallbacks) -> PendingCallbacks {
        if self.is_empty() { others } else { self }
    }

    /// Returns these callbacks followed by `others`.
    pub(crate) fn and(mut self, others: PendingCallbacks) -> PendingCallbacks {
        self.0.extend(others.0);
        self
    }

    /// Runs all callbacks on the calling thread. Calls `panicked` right after each panic, because a later callback may block
    /// forever.
    pub(crate) fn run(self, mut panicked: impl FnMut(String)) {
        for node in self.0 {
            node.run_callbacks(&mut panicked);
        }
    }

    /// Runs all callbacks on the calling thread, and logs each panic.
    pub(crate) fn run_and_log(self) {
        self.run(|text| log_panic(&text));
    }

    /// Runs the callbacks on a thread of the pool, so that they cannot delay the requester.
    ///
    /// If no thread can be created, the callbacks run on the calling thread. Otherwise they would never run.
    pub(crate) fn run_on_thread(self) {
        if !self.is_empty() {
            callback_threads::run(Box::new(|| self.run_and_log()));
        }
    }
}

impl Due for Node {
    fn due(self: Arc<Self>) {
        if let Some(callbacks) = request_stop(&self) {
            // A callback may block, and this thread serves every timer entry of the process.
            if !callbacks.is_empty() {
                callback_threads::run_patiently(Box::new(|| callbacks.run_and_log()));
            }
        }
    }
}
