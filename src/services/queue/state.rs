//! The protocol of a queue: pushes, takes, the registration of consumers and the closing, under one lock.
//!
//! Each consumer of the queue is registered, whether a host runs it or not. A *scope* is a set of consumers that retire
//! together: the token `retired` identifies the scope, and is stopped once none of its consumers will be started again. A
//! service of the outermost host has its own scope. All consumers in a group share the scope of the outermost group.
//!
//! # Invariants
//!
//! 1. An item is in `items` if and only if its push has returned, or will return, `Ok`, and no thread holds it: no thread has
//!    taken it out, or the thread that took it has put it back.
//! 2. `closed` is set once and never cleared. No push adds to `items` afterwards. No push is half done: an item either is
//!    in `items` or is refused.
//! 3. A scope *keeps the queue open* while it is not retired, or while one of its consumers runs and its stop was not
//!    requested. A step that finds no scope which keeps the queue open closes the queue before it releases the lock. So
//!    unregistering and closing are one step. If a consumer leaves a queue that stays open, another consumer, or the next run
//!    of a consumer, takes the items that come later.
//! 4. A `retired` token is stopped before its callback calls `close_if_abandoned`. Each step reads the token once, under the
//!    lock. The events "the scope is retired" and "the stop of its last consumer was requested" come under the lock one
//!    after the other, and the second one sees both and closes the queue. The callback is unregistered only after a step has
//!    seen that the token is stopped.
//! 5. A scope is listed once. It leaves the list when it has no consumers and is retired, or, without a host, when it has no
//!    consumers. So a group that is restarted forever leaves nothing behind.
//! 6. A thread that releases the lock checks both lists. If there is an item and a consumer sleeps, or if there is room and a
//!    producer sleeps, the thread takes one sleeper off the list and wakes it. A thread that woke up for another reason does
//!    the same, so it passes on a wake-up that was meant for it. No wake-up is lost. A batch consumer that waits for more
//!    items sleeps on until its batch can be filled, or the queue is full. It is passed over, and holds nobody back.
//! 7. Items that no consumer will take are counted once, by the step that removes the last scope of a closed queue.
//! 8. A batch consumer holds the items that it has taken until its function has handled them. The step that unregisters the
//!    consumer puts the items that it still holds back to the front of `items`, in their order, whether the queue is closed
//!    or not. So another consumer or the next run takes them first, or invariant 7 counts them and `drain` returns them.
//! 9. No user code runs under the lock: items are dropped, and callbacks unregistered, after the lock was released. Under the
//!    lock, only the locks of stop tokens are taken, never the lock of another queue or of a registry.

use crate::services::queue::error::PushError;
use crate::services::queue::meter::Meter;
use crate::services::queue::sleepers::Sleepers;
use crate::stop::{RecvError, StopCallback, StopSource, StopToken};
use crate::util::sync::MutexGuard;
use std::collections::VecDeque;

/// Identifies a consumer of a queue.
pub(crate) type ConsumerId = u64;

pub(super) struct QueueState<T> {
    items: VecDeque<T>,
    capacity: usize,
    closed: bool,
    /// The consumers that wait for an item.
    pub(super) takers: Sleepers,
    /// The producers that wait for room.
    pub(super) pushers: Sleepers,
    scopes: Vec<Scope>,
    next_id: ConsumerId,
    pub(super) meter: Meter,
}

struct Scope {
    token: StopToken,
    /// Whether the token was stopped when the last step read it. Each step reads the token once. If the token is stopped in
    /// the middle of a step, its callback makes another step.
    retired: bool,
    /// Whether the consumers are services of a host.
    hosted: bool,
    consumers: Vec<(ConsumerId, Stage)>,
    /// The callback on `token`, which calls `close_if_abandoned`. It holds the queue weakly.
    callback: Option<StopCallback>,
}

/// The stage of a registered consumer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The consumer has not started.
    Waiting,
    /// The consumer runs, or will run at once, and its stop was not requested.
    Running,
    /// The stop of the consumer was requested. It handles the items that are left.
    StopRequested,
}

impl Scope {
    /// Returns `true` if this scope keeps the queue open (invariant 3).
    fn keeps_open(&self) -> bool {
        !self.retired || self.consumers.iter().any(|consumer| consumer.1 == Stage::Running)
    }

    /// Returns `true` if this scope can leave the list (invariant 5).
    fn is_over(&self) -> bool {
        self.consumers.is_empty() && (!self.hosted || self.retired)
    }
}

/// What the caller of a step must do after the release of the lock.
#[must_use = "threads may have to be woken"]
#[derive(Default)]
pub(super) struct FollowUp {
    wake: Vec<StopSource>,
    callbacks: Vec<StopCallback>,
    /// The number of items that no consumer will take.
    abandoned: usize,
}

impl FollowUp {
    /// Wakes the threads and unregisters the callbacks. Returns the number of items that no consumer will take.
    pub(super) fn finish(self) -> usize {
        self.wake.iter().for_each(wake);
        // `unregister` never waits, even if the callback is running on this thread or another one. A callback that runs later
        // finds nothing to do.
        self.callbacks.into_iter().for_each(|callback| _ = callback.unregister());
        self.abandoned
    }
}

impl<T> QueueState<T> {
    pub(super) fn new(capacity: usize) -> Self {
        QueueState {
            items: VecDeque::with_capacity(capacity),
            capacity,
            closed: false,
            takers: Sleepers::default(),
            pushers: Sleepers::default(),
            scopes: Vec::new(),
            next_id: 0,
            meter: Meter::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds `item`, or returns the reason why it is refused. If the queue is closed and a stop was requested, the reason is
    /// the stop.
    pub(super) fn try_push(&mut self, item: T, stop: &StopToken) -> Result<(), PushError<T>> {
        if stop.stop_requested() {
            Err(PushError::Stopped(item))
        } else if self.closed {
            Err(PushError::Closed(item))
        } else if self.items.len() < self.capacity {
            self.items.push_back(item);
            Ok(())
        } else {
            Err(PushError::Full(item))
        }
    }

    /// Takes the next item out. Returns `None` if the caller must wait: the queue is open and empty.
    pub(super) fn try_take(&mut self, stop: &StopToken) -> Option<Result<T, RecvError>> {
        if stop.stop_requested() {
            return Some(Err(RecvError::Stopped));
        }
        match self.items.pop_front() {
            Some(item) => Some(Ok(item)),
            None => self.closed.then_some(Err(RecvError::Disconnected)),
        }
    }

    /// Takes the next item out, even after a stop. Returns `None` if the queue is empty.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// Moves items into `batch`, until the batch has `max` items or the queue is empty.
    pub(super) fn fill(&mut self, batch: &mut Vec<T>, max: usize) {
        let room = max.saturating_sub(batch.len());
        batch.extend(self.items.drain(..room.min(self.items.len())));
    }

    /// Takes all items out.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.items.drain(..).collect()
    }

    pub(super) fn new_consumer_id(&mut self) -> ConsumerId {
        self.next_id += 1;
        self.next_id
    }

    /// Registers the consumer `id` in the scope of `retired`. Returns `true` if the scope is new and needs its callback.
    pub(super) fn register(&mut self, id: ConsumerId, retired: &StopToken, hosted: bool) -> bool {
        // The service may have been moved from one host to another before either of them started it.
        for other in self.scopes.iter_mut().filter(|scope| !scope.token.is_same_as(retired)) {
            other.consumers.retain(|consumer| consumer.0 != id);
        }
        if let Some(scope) = self.scope(retired) {
            if !scope.consumers.iter().any(|consumer| consumer.0 == id) {
                scope.consumers.push((id, Stage::Waiting));
            }
            return false;
        }
        let consumers = vec![(id, Stage::Waiting)];
        self.scopes.push(Scope { token: retired.clone(), retired: false, hosted, consumers, callback: None });
        true
    }

    /// Stores the callback of a scope. Returns the callback that is not needed: the previous one, or `callback` itself if the
    /// scope has left the list already.
    pub(super) fn store_callback(&mut self, retired: &StopToken, callback: StopCallback) -> Option<StopCallback> {
        match self.scope(retired) {
            Some(scope) => scope.callback.replace(callback),
            None => Some(callback),
        }
    }

    /// Marks the consumer as running.
    pub(super) fn mark_running(&mut self, id: ConsumerId) {
        if let Some(stage) = self.stage(id).filter(|stage| **stage == Stage::Waiting) {
            *stage = Stage::Running;
        }
    }

    /// Records that the stop of the consumer was requested, so that it no longer keeps the queue open. Returns `false` if the
    /// consumer was not running, and so nothing has changed.
    pub(super) fn mark_stop_requested(&mut self, id: ConsumerId) -> bool {
        let running = self.stage(id).filter(|stage| **stage == Stage::Running);
        running.map(|stage| *stage = Stage::StopRequested).is_some()
    }

    /// Unregisters the consumer, which takes no further items in this run. The items that it holds go back (invariant 8).
    pub(super) fn unregister(&mut self, id: ConsumerId, held: Vec<T>) -> FollowUp {
        held.into_iter().rev().for_each(|item| self.items.push_front(item));
        for scope in &mut self.scopes {
            scope.consumers.retain(|consumer| consumer.0 != id);
        }
        self.close_if_abandoned()
    }

    /// Closes the queue.
    pub(super) fn close(&mut self) -> FollowUp {
        let mut follow_up = FollowUp::default();
        if !std::mem::replace(&mut self.closed, true) {
            // Wake all sleepers: producers are refused, and consumers complete when the queue is empty.
            let next = || self.pushers.pop(usize::MAX).or_else(|| self.takers.pop(usize::MAX));
            follow_up.wake.extend(std::iter::from_fn(next));
        }
        follow_up
    }

    /// Closes the queue if no scope keeps it open (invariant 3), and removes the scopes that are over (invariant 5).
    ///
    /// Called after each change of a scope, before the lock is released.
    pub(super) fn close_if_abandoned(&mut self) -> FollowUp {
        for scope in &mut self.scopes {
            scope.retired = scope.token.stop_requested();
        }
        let kept_open = self.scopes.iter().any(Scope::keeps_open);
        let mut follow_up = if self.scopes.is_empty() || kept_open { FollowUp::default() } else { self.close() };
        let (over, remaining) = std::mem::take(&mut self.scopes).into_iter().partition::<Vec<_>, _>(Scope::is_over);
        self.scopes = remaining;
        if self.closed && self.scopes.is_empty() && !over.is_empty() {
            follow_up.abandoned = self.items.len();
        }
        follow_up.callbacks.extend(over.into_iter().filter_map(|scope| scope.callback));
        follow_up
    }

    fn scope(&mut self, retired: &StopToken) -> Option<&mut Scope> {
        self.scopes.iter_mut().find(|scope| scope.token.is_same_as(retired))
    }

    fn stage(&mut self, id: ConsumerId) -> Option<&mut Stage> {
        let mut consumers = self.scopes.iter_mut().flat_map(|scope| &mut scope.consumers);
        consumers.find(|consumer| consumer.0 == id).map(|consumer| &mut consumer.1)
    }
}

/// Releases the lock, and wakes a sleeper on each side that has something to do (invariant 6). Every step that adds or removes
/// items ends here, so the length is recorded here too.
pub(super) fn release<T>(mut state: MutexGuard<'_, QueueState<T>>) {
    let (items, room) = (state.items.len(), state.capacity.saturating_sub(state.items.len()));
    let taker = match items {
        0 => None,
        // The queue is full. A batch consumer makes room, even if it wants more items.
        _ if room == 0 => state.takers.pop(usize::MAX),
        _ => state.takers.pop(items),
    };
    let pusher = state.pushers.pop(room);
    let change = state.meter.take_change(items);
    drop(state);
    // Wake the sleepers after the release, because a woken thread needs the lock.
    taker.iter().chain(&pusher).for_each(wake);
    change.record();
}

/// Wakes a sleeper. Its source has no callbacks, because it belongs to one sleeping thread, so there is nothing to run.
fn wake(sleeper: &StopSource) {
    _ = sleeper.signal();
}
