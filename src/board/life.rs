//! What a service's thread tells the board, in the order of a life.

use super::{Board, Inner, Policy, Remains, StartLimit};
use crate::blocked::{Thread, View};
use crate::error::{Cause, Phase, ServiceError, chain};
use crate::event::EventKind;
use crate::line;
use crate::panic::guarded;
use crate::status::{HostState, HungService, State, StopReason};
use crate::stop::{Callbacks, StopSource};
use crate::sync::{Arc, left, now, since};
use log::Level;
use std::time::{Duration, Instant};

/// The name of the thread that runs the callbacks of a host's `stopping` token, where the host itself is the cause.
pub(crate) const CALLBACKS: &str = "hosted-callbacks";

impl Board {
    /// The service's thread is about to be made. Gives its name; `None` where nothing more is to start.
    pub(crate) fn launching(&self, index: usize, policy: Policy, limit: Option<StartLimit>) -> Option<Arc<str>> {
        self.update(|inner| {
            if inner.reason.is_some() {
                return None;
            }
            inner.outstanding += 1;
            let slot = &mut inner.slots[index];
            (slot.policy, slot.start_limit) = (policy, limit);
            slot.launched = Some(now());
            slot.put(State::Starting);
            Some(slot.name.clone())
        })
    }

    /// There was no thread to be had.
    pub(crate) fn not_launched(&self, index: usize) {
        self.update(|inner| {
            inner.slots[index].launched = None;
            inner.slots[index].put(State::Waiting);
            inner.one_less();
        });
    }

    /// `start` is about to be called. False: it is not to be restarted, it was asked to stop or called late meanwhile.
    pub(crate) fn starting(&self, index: usize, thread: Option<Thread>) -> bool {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            if slot.restarting && (slot.asked.is_some() || slot.late) {
                return false;
            }
            slot.thread = thread;
            slot.phase = Phase::Start;
            if std::mem::take(&mut slot.restarting) {
                slot.restarts += 1;
            }
            slot.enter(State::Starting);
            inner.say_of(index, EventKind::Starting);
            true
        })
    }

    /// `start` has returned `Ok`. False: too late, the service is not to run.
    pub(crate) fn ready(&self, index: usize) -> bool {
        let ready = |inner: &mut Inner| {
            let late = inner.fail_if_late(index);
            let slot = &mut inner.slots[index];
            if slot.late {
                return (false, late);
            }
            slot.phase = Phase::Run;
            slot.enter(State::Running);
            slot.start_took = slot.start_took.or_else(|| slot.launched.map(since));
            inner.say_of(index, EventKind::Started);
            (true, inner.settle(index))
        };
        let (in_time, callbacks) = self.update(ready);
        callbacks.run_elsewhere(CALLBACKS);
        in_time
    }

    /// `stop` is about to be called.
    pub(crate) fn closing(&self, index: usize) {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            slot.phase = Phase::Stop;
            if slot.asked.is_none() && slot.state != State::Restarting {
                slot.enter(State::Stopping);
                inner.say_of(index, EventKind::Stopping);
            }
        });
    }

    /// The run is over and there will be another.
    pub(crate) fn restarting(&self, index: usize, error: Option<&ServiceError>, after: Duration) {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            if let Some(error) = error {
                slot.count_error(error.to_string());
            }
            slot.restarting = true;
            slot.enter(State::Restarting);
            let restart = slot.restarts + 1;
            inner.say_of(index, EventKind::Restarting { error: error.cloned(), restart, after });
        });
    }

    /// The service has failed for good.
    pub(crate) fn failed(&self, index: usize, error: &ServiceError) {
        self.update(|inner| inner.fail(index, error)).run_elsewhere(CALLBACKS);
    }

    /// An error that is no reason to end.
    pub(crate) fn reported(&self, index: usize, error: &(dyn std::error::Error + 'static)) {
        let error = chain(error);
        self.update(|inner| {
            inner.slots[index].count_error(error.clone());
            inner.say_of(index, EventKind::Reported { error });
        });
    }

    /// The service's value is being dropped.
    pub(crate) fn dropping(&self, index: usize) {
        self.update(|inner| inner.slots[index].phase = Phase::Drop);
    }

    /// The end: the service's thread has nothing more to do.
    pub(crate) fn ended(&self, index: usize, completed: bool) {
        let end = |inner: &mut Inner| {
            let slot = &mut inner.slots[index];
            let (state, event) = match &slot.failure {
                Some(_) => (State::Failed, None), // which was said when it happened
                None if completed => (State::Completed, Some(EventKind::Completed)),
                None => (State::Stopped, Some(EventKind::Stopped)),
            };
            slot.end(state);
            let stops_host = state == State::Completed && slot.policy.completion_stops_host;
            let name = slot.name.clone();
            if let Some(event) = event {
                inner.say_of(index, event);
            }
            inner.ended.push(index);
            inner.ring = true;
            inner.living -= 1;
            inner.unjoined += 1;
            // Ignored, it counts as started also where it failed before it was ready.
            let ignored = inner.slots[index].policy.ignores_failure;
            let settled = if ignored { inner.settle(index) } else { Callbacks::default() };
            let ended =
                if stops_host { inner.stop_for(StopReason::Completed(name)) } else { inner.check_all_completed() };
            settled.or(ended)
        };
        self.update(end).run_elsewhere(CALLBACKS);
    }

    /// The service's thread has been joined.
    pub(crate) fn joined(&self, index: usize) {
        self.update(|inner| {
            inner.joined += 1;
            inner.let_go(index);
        });
    }

    /// The service's thread says, as the last thing that it does, that it ends. During a stop the host joins it; after a stop
    /// nobody would.
    pub(super) fn left(&self, index: usize) {
        self.update(|inner| {
            // It has told of the end of its service before: that is a guard's doing, whatever happened.
            inner.slots[index].left = inner.slots[index].ended.is_some();
            if inner.host == HostState::Stopped {
                inner.let_go_of_those_that_left();
            }
        });
    }

    /// The service is asked to stop, and should have ended by `deadline`.
    pub(crate) fn asked(&self, index: usize, deadline: Option<Instant>) {
        let time_up = self.update(|inner| {
            let slot = &mut inner.slots[index];
            slot.stop_deadline = deadline;
            if let Some(children) = &slot.children {
                children.stop_by(deadline);
            }
            slot.asked.get_or_insert_with(now);
            // One that has begun to stop by itself has said so.
            if !matches!(slot.state, State::Stopping | State::Hung) && slot.ended.is_none() {
                slot.put(State::Stopping);
                inner.say_of(index, EventKind::Stopping);
            }
            inner.slots[index].time_up.clone()
        });
        // With the lock let go: the timer has one of its own.
        time_up.iter().for_each(|time_up| arm(time_up, deadline));
    }

    /// Whether the service's first start has taken too long. If so that is on the books now.
    pub(crate) fn is_late(&self, index: usize) -> bool {
        let (late, callbacks) = self.update(|inner| {
            let callbacks = inner.fail_if_late(index);
            (inner.slots[index].late, callbacks)
        });
        callbacks.run_elsewhere(CALLBACKS);
        late
    }

    /// The stop goes on although the service has not ended, if it has not.
    pub(crate) fn overtaken(&self, index: usize) {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            if slot.ended.is_some() {
                return;
            }
            slot.overtaken = true;
            let waited = slot.asked.map(since).unwrap_or_default();
            inner.say_of(index, EventKind::Overtaken { waited });
        });
    }

    /// Whoever has not ended, in groups too, did not end in time.
    pub(crate) fn hang_those_left(&self, view: &View) {
        let left: Vec<(usize, Remains, Option<Arc<Board>>)> = self.read(|inner| {
            let alive = inner.slots.iter().enumerate().filter(|(_, slot)| !slot.gone());
            alive.map(|(index, slot)| (index, slot.remains(), slot.children.clone())).collect()
        });
        for (index, remains, children) in left {
            // The group would say so itself, but it may not have come to it yet.
            children.iter().for_each(|children| children.hang_those_left(view));
            self.hung(index, remains.inspect(view));
        }
    }

    /// The service did not end in time.
    pub(crate) fn hung(&self, index: usize, hung: HungService) {
        self.update(|inner| {
            if inner.slots[index].left {
                inner.let_go(index); // its thread has ended, and was only not joined in time
            }
            let slot = &mut inner.slots[index];
            if slot.gone() {
                return; // it has ended while it was looked at
            }
            let known = slot.hung.replace(hung.clone()).is_some();
            slot.put(State::Hung);
            if !known {
                inner.say_of(index, EventKind::Hung(hung));
            }
        });
    }

    /// The service's stop callbacks run on `thread`.
    pub(crate) fn calling_back(&self, index: usize, thread: Option<Thread>) {
        self.update(|inner| {
            if let Some(callbacks) = &mut inner.slots[index].callbacks {
                callbacks.thread = thread;
            }
        });
    }

    /// The service's stop callbacks have run.
    pub(crate) fn called_back(&self, index: usize) {
        self.update(|inner| {
            inner.slots[index].callbacks = None;
            inner.one_less();
            inner.slots[index].settle();
        });
    }
}

impl Inner {
    /// Nothing is left of the service's thread.
    fn let_go(&mut self, index: usize) {
        if std::mem::replace(&mut self.slots[index].joined, true) {
            return;
        }
        self.unjoined -= 1;
        self.one_less();
        self.slots[index].settle();
    }

    /// The stop is over: threads that have ended and were not joined in it are not waited for by anybody. They show how they
    /// ended from here on.
    pub(crate) fn let_go_of_those_that_left(&mut self) {
        for index in 0..self.slots.len() {
            if self.slots[index].left {
                self.let_go(index);
            }
        }
    }

    pub(crate) fn say_of(&mut self, index: usize, kind: EventKind) {
        let name = self.slots[index].name.clone();
        self.say(Some(name), kind);
    }

    /// A first start that has not returned in time is a failure, whatever it says later.
    fn fail_if_late(&mut self, index: usize) -> Callbacks {
        let slot = &mut self.slots[index];
        let over = slot.late || slot.start_took.is_some() || slot.ended.is_some();
        let Some(limit) = slot.start_limit.filter(|limit| !over && limit.at <= now()) else {
            return Callbacks::default();
        };
        slot.late = true;
        slot.policy.ignores_failure &= !limit.of_host;
        let (ignored, cause) = (slot.policy.ignores_failure, Cause::TimedOut(limit.limit));
        let error = ServiceError::new(slot.name.clone(), Phase::Start, cause);
        let callbacks = self.fail(index, &error);
        if ignored { callbacks.or(self.settle(index)) } else { callbacks }
    }

    /// A final failure: on the books, and a reason to stop the host unless it is ignored.
    ///
    /// The caller keeps `error` until the lock is let go: its last drop is foreign code.
    #[must_use = "the callbacks of `stopping` are to be run"]
    pub(crate) fn fail(&mut self, index: usize, error: &ServiceError) -> Callbacks {
        let slot = &mut self.slots[index];
        slot.count_error(error.to_string());
        slot.failure.get_or_insert_with(|| error.clone());
        slot.settle(); // an error may come from a callback, when the thread has ended
        let (ignored, name) = (slot.policy.ignores_failure, slot.name.clone());
        self.say_of(index, EventKind::Failed(error.clone()));
        if ignored {
            return Callbacks::default();
        }
        self.failures.push(error.clone());
        self.stop_for(StopReason::Failed(name))
    }
}

/// Stops `time_up` at `deadline`. Where no thread is to be had for that it goes without: a stop must not end over it.
pub(crate) fn arm(time_up: &StopSource, deadline: Option<Instant>) {
    if let Err(text) = guarded(|| time_up.request_stop_after(left(deadline))) {
        line::log(Level::Error, "hosted::queue", format_args!("no job will be told that its time is up: {text}"));
    }
}
