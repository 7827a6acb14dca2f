//! The protocol of a queue: pushes, takes, the ends of consumers and the closing, under one lock.
//!
//! A *member* is a consumer that a host has, or that runs without a host. A *scope* is the set of members that end for
//! good together: it is named by a token, `retired`, that is stopped once none of them will be started again. A service
//! of the outermost host is a scope by itself. All consumers in a group share the scope of the outermost group.
//!
//! # Invariants
//!
//! 1. An item is in `items` if and only if its push has returned, or will return, `Ok`, and nobody has taken it out.
//! 2. `closed` is set once and never cleared. After that nothing is added to `items`. There is no push under way: a push
//!    either is in `items` or is refused.
//! 3. A scope *keeps the queue open* while it is not retired, or while one of its members runs and has not been asked to
//!    stop. The step that finds that no scope keeps the queue open any more closes it, before it lets the lock go. So
//!    leaving and closing are one step: if a member leaves a queue that stays open, another member takes what comes
//!    later, now or in its next life.
//! 4. A `retired` token is stopped before its callback calls `settle`. Each step reads the token once, under the lock. Of
//!    "the scope is retired" and "its last member was asked to stop", whichever comes second under the lock sees both,
//!    and closes. The callback is unregistered only after a step has seen that the token is stopped.
//! 5. A scope is listed once. It leaves the list when it has no members and is retired (without a host: when it has no
//!    members). So a group that is restarted forever leaves nothing behind.
//! 6. Whoever lets the lock go while there is an item and a consumer sleeps, or while there is room and a producer
//!    sleeps, takes one of these off its list and wakes it. A thread that wakes for another reason and leaves without a
//!    change obeys the same rule, so it passes on a wake-up that was meant for it. No wake-up is lost.
//! 7. Items that nobody will take are counted once: by the step that removes the last scope of a closed queue.
//! 8. No user code runs under the lock: items are dropped, and callbacks unregistered, after it has been let go. Under
//!    the lock only the lists of stop tokens are locked, never another queue or a board.

use crate::services::queue::error::PushError;
use crate::services::queue::sleepers::Sleepers;
use crate::stop::{RecvError, StopCallback, StopSource, StopToken};
use crate::util::sync::MutexGuard;
use std::collections::VecDeque;

/// Which consumer: unique in its queue.
pub(crate) type MemberId = u64;

pub(super) struct ServiceState<T> {
    items: VecDeque<T>,
    room: usize,
    closed: bool,
    /// Consumers that wait for an item.
    pub(super) takers: Sleepers,
    /// Producers that wait for room.
    pub(super) pushers: Sleepers,
    scopes: Vec<Scope>,
    next_id: MemberId,
}

struct Scope {
    token: StopToken,
    /// What the token said at the last look. Each step looks once: a token that is stopped in the middle of a step counts
    /// for the next one, which its callback makes.
    retired: bool,
    /// Its members are services of a host.
    hosted: bool,
    members: Vec<(MemberId, Stage)>,
    /// Calls `settle`. It holds the queue weakly.
    callback: Option<StopCallback>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has not started.
    Waiting,
    /// It runs, or will do so at once, and has not been asked to stop.
    Running,
    /// It was asked to stop, and finishes what is there.
    Asked,
}

impl Scope {
    /// Invariant 3.
    fn keeps_open(&self) -> bool {
        !self.retired || self.members.iter().any(|member| member.1 == Stage::Running)
    }

    /// Invariant 5.
    fn is_over(&self) -> bool {
        self.members.is_empty() && (!self.hosted || self.retired)
    }
}

/// What a step leaves to do once the lock has been let go.
#[must_use = "somebody may have to be woken"]
#[derive(Default)]
pub(super) struct Aftermath {
    wake: Vec<StopSource>,
    callbacks: Vec<StopCallback>,
    /// So many items are left for which there is no consumer any more.
    abandoned: usize,
}

impl Aftermath {
    /// Wakes who is to be woken. Returns how many items nobody will take.
    pub(super) fn finish(self) -> usize {
        self.wake.iter().for_each(wake);
        // Never waits, though the callback may be running, on this thread or another. It may find nothing to do.
        self.callbacks.into_iter().for_each(|callback| _ = callback.unregister());
        self.abandoned
    }
}

impl<T> ServiceState<T> {
    pub(super) fn new(room: usize) -> Self {
        ServiceState {
            items: VecDeque::with_capacity(room),
            room,
            closed: false,
            takers: Sleepers::default(),
            pushers: Sleepers::default(),
            scopes: Vec::new(),
            next_id: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes `item` in, or says why not. A stop that was requested before the closing is seen first.
    pub(super) fn admit(&mut self, item: T, stop: &StopToken) -> Result<(), PushError<T>> {
        if stop.stop_requested() {
            Err(PushError::Stopped(item))
        } else if self.closed {
            Err(PushError::Closed(item))
        } else if self.items.len() < self.room {
            self.items.push_back(item);
            Ok(())
        } else {
            Err(PushError::Full(item))
        }
    }

    /// Gives the next item out. `None`: there is none yet.
    pub(super) fn serve(&mut self, stop: &StopToken) -> Option<Result<T, RecvError>> {
        if stop.stop_requested() {
            return Some(Err(RecvError::Stopped));
        }
        match self.items.pop_front() {
            Some(item) => Some(Ok(item)),
            None => self.closed.then_some(Err(RecvError::Disconnected)),
        }
    }

    /// Takes out the next item, if there is one.
    pub(super) fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// Takes everything out.
    pub(super) fn drain(&mut self) -> Vec<T> {
        self.items.drain(..).collect()
    }

    pub(super) fn new_member(&mut self) -> MemberId {
        self.next_id += 1;
        self.next_id
    }

    /// The member `id` belongs to the scope of `retired`. Returns `true` if the scope is new and needs its callback.
    pub(super) fn attach(&mut self, id: MemberId, retired: &StopToken, hosted: bool) -> bool {
        // A service may have been handed from one host to another before either started it.
        for other in self.scopes.iter_mut().filter(|scope| !scope.token.is_same_as(retired)) {
            other.members.retain(|member| member.0 != id);
        }
        if let Some(scope) = self.scope(retired) {
            if !scope.members.iter().any(|member| member.0 == id) {
                scope.members.push((id, Stage::Waiting));
            }
            return false;
        }
        let members = vec![(id, Stage::Waiting)];
        self.scopes.push(Scope { token: retired.clone(), retired: false, hosted, members, callback: None });
        true
    }

    /// Keeps the callback of a scope; gives it back where the scope is over already.
    pub(super) fn keep(&mut self, retired: &StopToken, callback: StopCallback) -> Option<StopCallback> {
        match self.scope(retired) {
            Some(scope) => scope.callback.replace(callback),
            None => Some(callback),
        }
    }

    /// The member has started.
    pub(super) fn begin(&mut self, id: MemberId) {
        if let Some(stage) = self.stage(id).filter(|stage| **stage == Stage::Waiting) {
            *stage = Stage::Running;
        }
    }

    /// The member was asked to stop: it no longer keeps the queue open. Returns `false` if it did not before.
    pub(super) fn mark_asked(&mut self, id: MemberId) -> bool {
        let running = self.stage(id).filter(|stage| **stage == Stage::Running);
        running.map(|stage| *stage = Stage::Asked).is_some()
    }

    /// The member takes nothing more in this life.
    pub(super) fn leave(&mut self, id: MemberId) -> Aftermath {
        for scope in &mut self.scopes {
            scope.members.retain(|member| member.0 != id);
        }
        self.settle()
    }

    /// Closes the queue.
    pub(super) fn close(&mut self) -> Aftermath {
        let mut after = Aftermath::default();
        if !std::mem::replace(&mut self.closed, true) {
            // All of them: producers are refused, and consumers complete when nothing is left.
            after.wake.extend(std::iter::from_fn(|| self.pushers.pop().or_else(|| self.takers.pop())));
        }
        after
    }

    /// Closes the queue if nothing keeps it open any more (invariant 3), and forgets the scopes that are over.
    ///
    /// To be called after each change of a scope, before the lock is let go.
    pub(super) fn settle(&mut self) -> Aftermath {
        for scope in &mut self.scopes {
            scope.retired = scope.token.stop_requested();
        }
        let kept_open = self.scopes.iter().any(Scope::keeps_open);
        let mut after = if self.scopes.is_empty() || kept_open { Aftermath::default() } else { self.close() };
        let (over, left) = std::mem::take(&mut self.scopes).into_iter().partition::<Vec<_>, _>(Scope::is_over);
        self.scopes = left;
        if self.closed && self.scopes.is_empty() && !over.is_empty() {
            after.abandoned = self.items.len();
        }
        after.callbacks.extend(over.into_iter().filter_map(|scope| scope.callback));
        after
    }

    fn scope(&mut self, retired: &StopToken) -> Option<&mut Scope> {
        self.scopes.iter_mut().find(|scope| scope.token.is_same_as(retired))
    }

    fn stage(&mut self, id: MemberId) -> Option<&mut Stage> {
        let mut members = self.scopes.iter_mut().flat_map(|scope| &mut scope.members);
        members.find(|member| member.0 == id).map(|member| &mut member.1)
    }
}

/// Lets the lock go, and wakes those for whom there is something (invariant 6).
pub(super) fn release<T>(mut state: MutexGuard<'_, ServiceState<T>>) {
    let taker = if state.items.is_empty() { None } else { state.takers.pop() };
    let pusher = if state.items.len() < state.room { state.pushers.pop() } else { None };
    drop(state);
    // Notified without the lock: a thread that wakes up would only run into it.
    taker.iter().chain(&pusher).for_each(wake);
}

/// The source has no callbacks: it belongs to one sleeping thread.
fn wake(sleeper: &StopSource) {
    _ = sleeper.signal();
}
