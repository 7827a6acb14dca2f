//! Asking for the stop: flags and wakes the whole subtree first, then leaves the callbacks to whoever asked.

use super::callback_threads::log_panic;
use super::node::{CALLBACKS_DONE, Node, STOPPED, TIMED};
use super::slab::Slab;
use super::timer::Due;
use super::{callback_threads, timer};
use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, Ordering, Weak, caller};

/// The callbacks of a stop that has been requested: every flag is set and every waiter woken before they exist.
#[must_use = "the callbacks run only when told to"]
#[derive(Clone, Default)]
pub(crate) struct PendingCallbacks(Vec<Arc<Node>>);

/// Flags and wakes the whole subtree of `root`. `None`: somebody else had requested the stop before.
#[inline]
pub(super) fn request_stop(root: &Arc<Node>) -> Option<PendingCallbacks> {
    match root.flag() {
        Flagged::Before => None,
        Flagged::Alone => Some(PendingCallbacks::default()),
        Flagged::Listened => Some(wake_subtree(root)),
    }
}

fn wake_subtree(root: &Arc<Node>) -> PendingCallbacks {
    let (mut node, mut flagged, mut found) = (root.clone(), Vec::new(), Vec::new());
    loop {
        let (children, has_callbacks) = node.wake_all();
        let children = children.into_values().filter_map(|child| child.upgrade());
        flagged.extend(children.filter(|child| matches!(child.flag(), Flagged::Listened)));
        if has_callbacks {
            found.push(node);
        }
        match flagged.pop() {
            Some(next) => node = next,
            None => return PendingCallbacks(found),
        }
    }
}

enum Flagged {
    /// By another requester, earlier.
    Before,
    /// By this one; nobody ever listened, so there is nothing more to do.
    Alone,
    /// By this one; there may be somebody to tell.
    Listened,
}

impl Node {
    // Release for whoever sees the stop; what it replaces is the first value, which nobody has released anything with.
    #[inline]
    fn flag(&self) -> Flagged {
        match self.state.compare_exchange(0, STOPPED, Ordering::Release, Ordering::Relaxed) {
            Ok(_) => Flagged::Alone,
            Err(_) => self.flag_listened(),
        }
    }

    fn flag_listened(&self) -> Flagged {
        // Acquire as well, for what listeners put on the lists.
        let before = self.state.fetch_or(STOPPED, Ordering::AcqRel);
        if before & STOPPED != 0 {
            return Flagged::Before;
        }
        if before & TIMED != 0 {
            timer::disarm(self.key());
        }
        Flagged::Listened
    }

    /// Wakes who waits; gives the children and whether there are callbacks.
    fn wake_all(&self) -> (Slab<Weak<Node>>, bool) {
        // Taken and let go: a waiter that did not see the stop is asleep by now. Notifying comes after, since a
        // woken thread would only run into the lock.
        drop(self.asleep.lock());
        self.awake.notify_all();
        let Some(lists) = self.lists.get() else { return (Slab::new(), false) };
        let mut slabs = lists.slabs.lock();
        let children = std::mem::replace(&mut slabs.children, Slab::new());
        let done = slabs.done.take();
        let has_callbacks = !slabs.callbacks.is_empty();
        drop(slabs);
        drop(done);
        #[cfg(feature = "io")]
        lists.bell.get().inspect(|bell| bell.ring());
        (children, has_callbacks)
    }

    fn run_callbacks(&self, panicked: &mut impl FnMut(String)) {
        let (lists, runner) = (self.lists(), caller());
        let mut from = 0;
        let mut slabs = lists.slabs.lock();
        while let Some((slot, callback)) = slabs.callbacks.take_from(from) {
            from = slot + 1;
            slabs.running = Some((slot, runner));
            drop(slabs);
            if let Err(text) = catch_panic(callback) {
                panicked(text);
            }
            slabs = lists.slabs.lock();
            slabs.running = None;
            lists.returned.notify_all();
        }
        drop(slabs);
        self.state.fetch_or(CALLBACKS_DONE, Ordering::Release);
    }
}

impl PendingCallbacks {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// These, or `others` where there are none: one stop has callbacks once.
    pub(crate) fn or(self, others: PendingCallbacks) -> PendingCallbacks {
        if self.is_empty() { others } else { self }
    }

    /// These, and then `others`.
    pub(crate) fn and(mut self, others: PendingCallbacks) -> PendingCallbacks {
        self.0.extend(others.0);
        self
    }

    /// Runs them all, here and now. What a panicking one said is told at once: a later one may block for ever.
    pub(crate) fn run(self, mut panicked: impl FnMut(String)) {
        for node in self.0 {
            node.run_callbacks(&mut panicked);
        }
    }

    /// Runs them all, here and now, and logs what the panicking ones said.
    pub(crate) fn run_and_log(self) {
        self.run(|text| log_panic(&text));
    }

    /// Runs them on a thread of the pool, if there are any: for requesters that no callback may delay.
    ///
    /// If no thread can be created they run here: late is better than never.
    pub(crate) fn run_on_thread(self) {
        if !self.is_empty() {
            callback_threads::run(Box::new(|| self.run_and_log()));
        }
    }
}

impl Due for Node {
    fn due(self: Arc<Self>) {
        if let Some(callbacks) = request_stop(&self) {
            // Never here: this thread keeps the time for the whole process.
            if !callbacks.is_empty() {
                callback_threads::run_patiently(Box::new(|| callbacks.run_and_log()));
            }
        }
    }
}
