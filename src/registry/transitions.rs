//! What a service's thread tells the board, in the order of a life.

use super::deadline::schedule_stop;
use super::{Inner, Policy, Registry, StartLimit, StuckService};
use crate::diagnose::ThreadProbe;
use crate::report::{
    BlockedThread, Cause, EventKind, HostState, Phase, ServiceError, ServiceState, StopReason, drop_error,
    error_chain_text,
};
use crate::stop::PendingCallbacks;
use crate::util::sync::{Arc, now};
use crate::util::time::since;
use std::time::{Duration, Instant};

/// Two looks at a hung service that are closer together than this are of the same stop.
const SAME_STOP: Duration = Duration::from_secs(1);

impl Registry {
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
            slot.put(ServiceState::Starting);
            Some(slot.name.clone())
        })
    }

    /// There was no thread to be had.
    pub(crate) fn not_launched(&self, index: usize) {
        self.update(|inner| {
            inner.slots[index].launched = None;
            inner.slots[index].put(ServiceState::Waiting);
            inner.one_less();
        });
    }

    /// `start` is about to be called. Returns `false` if the service is not to be restarted, because it was asked to
    /// stop or called late meanwhile. A service that `finishes` and was ready once has a last life after a stop request.
    pub(crate) fn starting(&self, index: usize, thread: Option<ThreadProbe>, finishes: bool) -> bool {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            let asked = slot.asked.is_some();
            if slot.restarting && (slot.late || asked && !(finishes && slot.start_took.is_some())) {
                return false;
            }
            slot.finishing = slot.restarting && asked;
            slot.thread = thread;
            slot.phase = Phase::Start;
            slot.complete = false;
            if std::mem::take(&mut slot.restarting) {
                slot.restarts += 1;
            }
            slot.enter(ServiceState::Starting);
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
                return (false, late, PendingCallbacks::default(), None);
            }
            // Asked while it waited for its restart, it is in its last life.
            let retired = if slot.asked.is_some() { slot.retired.retire() } else { PendingCallbacks::default() };
            let failed_before = slot.failed_before.take();
            slot.phase = Phase::Run;
            slot.enter(ServiceState::Running);
            slot.start_took = slot.start_took.or_else(|| slot.launched.map(since));
            inner.say_of(index, EventKind::Started);
            (true, inner.settle(index), retired, failed_before)
        };
        let (in_time, callbacks, retired, failed_before) = self.update(ready);
        drop_error(failed_before);
        callbacks.run_on_thread();
        retired.run_and_log();
        in_time
    }

    /// `stop` is about to be called.
    pub(crate) fn closing(&self, index: usize) {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            slot.phase = Phase::Stop;
            if slot.asked.is_none() && slot.state != ServiceState::Restarting {
                slot.enter(ServiceState::Stopping);
                inner.say_of(index, EventKind::Stopping);
            }
        });
    }

    /// The run is over and there will be another.
    pub(crate) fn restarting(&self, index: usize, error: Option<&ServiceError>, after: Duration) {
        let before = self.update(|inner| {
            let slot = &mut inner.slots[index];
            if let Some(error) = error {
                slot.count_error(error.to_string());
            }
            let before = std::mem::replace(&mut slot.failed_before, error.cloned());
            slot.restarting = true;
            slot.enter(ServiceState::Restarting);
            let restart = slot.restarts + 1;
            inner.say_of(index, EventKind::Restarting { error: error.cloned(), restart, after });
            before
        });
        drop_error(before);
    }

    /// The stop deadline has come before the service could try again to finish what it holds: its last failure, which
    /// was counted when the restart was announced, is final.
    pub(crate) fn not_finished(&self, index: usize) {
        let (callbacks, error) = self.update(|inner| {
            let slot = &mut inner.slots[index];
            let error = slot.failed_before.take();
            slot.errors -= u64::from(error.is_some());
            let callbacks = error.as_ref().map(|error| inner.fail(index, error)).unwrap_or_default();
            (callbacks, error)
        });
        callbacks.run_on_thread();
        drop_error(error);
    }

    /// The service has failed for good.
    pub(crate) fn failed(&self, index: usize, error: &ServiceError) {
        self.update(|inner| inner.fail(index, error)).run_on_thread();
    }

    /// An error that is no reason to end.
    pub(crate) fn reported(&self, index: usize, error: &(dyn std::error::Error + 'static)) {
        let error = error_chain_text(error);
        self.update(|inner| {
            inner.slots[index].count_error(error.clone());
            inner.say_of(index, EventKind::Reported { error });
        });
    }

    /// The service's value is being dropped.
    pub(crate) fn dropping(&self, index: usize) {
        self.update(|inner| inner.slots[index].phase = Phase::Drop);
    }

    /// The service has ended, or will never start: it will not be started again.
    pub(crate) fn retire(&self, index: usize) {
        self.update(|inner| inner.slots[index].retired.retire()).run_and_log();
    }

    /// The end: the service's thread has nothing more to do.
    pub(crate) fn ended(&self, index: usize, completed: bool) {
        self.retire(index); // first: whoever hears of the end finds that its queues are closed
        let end = |inner: &mut Inner| {
            let slot = &mut inner.slots[index];
            let (state, event) = match (&slot.failure, &slot.failed_before) {
                (Some(_), _) => (ServiceState::Failed, None), // which was said when it happened
                (None, Some(error)) => (ServiceState::NotRestarted, Some(EventKind::NotRestarted(error.clone()))),
                (None, None) if completed => (ServiceState::Completed, Some(EventKind::Completed)),
                (None, None) => (ServiceState::Stopped, Some(EventKind::Stopped)),
            };
            slot.end(state);
            let stops_host = state == ServiceState::Completed && slot.policy.completion_stops_host;
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
            let settled = if ignored { inner.settle(index) } else { PendingCallbacks::default() };
            let ended =
                if stops_host { inner.stop_for(StopReason::Completed(name)) } else { inner.check_all_completed() };
            settled.or(ended)
        };
        self.update(end).run_on_thread();
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
    pub(super) fn thread_ended(&self, index: usize) {
        self.update(|inner| {
            // It has told of the end of its service before: that is a guard's doing, whatever happened.
            inner.slots[index].left = inner.slots[index].ended.is_some();
            if inner.host == HostState::Stopped {
                inner.let_go_of_those_that_left();
            }
        });
    }

    /// The service is asked to stop, should have ended by `deadline`, and is waited for until `end`. The callbacks are those
    /// of its retirement.
    #[must_use = "the callbacks run only when told to"]
    pub(crate) fn asked(&self, index: usize, deadline: Option<Instant>, end: Option<Instant>) -> PendingCallbacks {
        let (until_deadline_source, moved, retired) = self.update(|inner| {
            let slot = &mut inner.slots[index];
            (slot.stop_deadline, slot.stop_end) = (deadline, end);
            if let Some(children) = &slot.children {
                children.stop_by(slot.stop_by());
            }
            // It is not retired while it waits for a restart: it may have a last life, which says so itself.
            let is_last_life = slot.asked.is_none() && !slot.restarting;
            let retired = if is_last_life { slot.retired.retire() } else { PendingCallbacks::default() };
            slot.asked.get_or_insert_with(now);
            // One that has begun to stop by itself has said so.
            if !matches!(slot.state, ServiceState::Stopping | ServiceState::Hung) && slot.ended.is_none() {
                slot.put(ServiceState::Stopping);
                inner.say_of(index, EventKind::Stopping);
            }
            let slot = &mut inner.slots[index];
            let until_deadline_source = slot
                .until_deadline_source
                .as_mut()
                .and_then(|until_deadline_source| until_deadline_source.moves(deadline));
            (until_deadline_source, slot.watched.moves(deadline), retired)
        });
        until_deadline_source.iter().for_each(|until_deadline_source| schedule_stop(until_deadline_source, deadline));
        moved.iter().for_each(|moved| _ = moved.request_stop());
        retired
    }

    /// Whether the service's first start has taken too long. If so that is on the books now.
    pub(crate) fn is_late(&self, index: usize) -> bool {
        let (late, callbacks) = self.update(|inner| {
            let callbacks = inner.fail_if_late(index);
            (inner.slots[index].late, callbacks)
        });
        callbacks.run_on_thread();
        late
    }

    /// The stop goes on although the service has not ended, if it has not.
    pub(crate) fn record_stop_timeout(&self, index: usize) {
        self.update(|inner| {
            let slot = &mut inner.slots[index];
            if slot.ended.is_some() {
                return;
            }
            slot.stop_timed_out = true;
            let waited = slot.asked.map(since).unwrap_or_default();
            inner.say_of(index, EventKind::StopTimedOut { waited });
        });
    }

    /// What has not ended, in groups too: the services of a group before the group. Without recursion.
    pub(crate) fn remaining(self: &Arc<Self>) -> Vec<(Arc<Registry>, usize, StuckService)> {
        let mut boards = vec![self.clone()];
        let mut rows = Vec::new();
        let mut place = 0;
        while let Some(board) = boards.get(place).cloned() {
            place += 1;
            board.read(|inner| {
                let alive = inner.slots.iter().enumerate().filter(|(_, slot)| !slot.gone());
                boards.extend(alive.clone().filter_map(|(_, slot)| slot.children.clone()));
                rows.push(alive.map(|(index, slot)| (board.clone(), index, slot.remains())).collect::<Vec<_>>());
            });
        }
        rows.into_iter().rev().flatten().collect()
    }

    /// The service did not end in time.
    pub(crate) fn hung(&self, index: usize, mut hung: BlockedThread) {
        self.update(|inner| {
            if inner.slots[index].left {
                inner.let_go(index); // its thread has ended, and was only not joined in time
            }
            let slot = &mut inner.slots[index];
            if slot.gone() {
                return; // it has ended while it was looked at
            }
            // A group's own stop ends at the same moment as that of its host, and only one of the two may have looked.
            let known = slot.hung.as_ref().filter(|known| known.phase == hung.phase && hung.blocked_in.is_none());
            if let Some(known) = known.filter(|known| hung.waited < known.waited + SAME_STOP) {
                hung.blocked_in = known.blocked_in.clone();
            }
            let known = slot.hung.replace(hung.clone()).is_some();
            slot.put(ServiceState::Hung);
            if !known {
                inner.say_of(index, EventKind::Hung(hung));
            }
        });
    }

    /// The service's stop callbacks run on `thread`.
    pub(crate) fn calling_back(&self, index: usize, thread: Option<ThreadProbe>) {
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
    fn fail_if_late(&mut self, index: usize) -> PendingCallbacks {
        let slot = &mut self.slots[index];
        let over = slot.late || slot.start_took.is_some() || slot.ended.is_some();
        let Some(limit) = slot.start_limit.filter(|limit| !over && limit.at <= now()) else {
            return PendingCallbacks::default();
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
    pub(crate) fn fail(&mut self, index: usize, error: &ServiceError) -> PendingCallbacks {
        let slot = &mut self.slots[index];
        slot.count_error(error.to_string());
        slot.failure.get_or_insert_with(|| error.clone());
        slot.settle(); // an error may come from a callback, when the thread has ended
        let (ignored, name) = (slot.policy.ignores_failure, slot.name.clone());
        self.say_of(index, EventKind::Failed(error.clone()));
        if ignored {
            return PendingCallbacks::default();
        }
        self.failures.push(error.clone());
        self.stop_for(StopReason::Failed(name))
    }
}
