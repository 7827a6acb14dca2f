//! What the end of a service records: the stop request, the exit, the join, and that a service did not stop in time.

use super::deadline::ScheduledStop;
use super::progress::{CallbackThread, Exit, ExitKind, Progress};
use super::{Registry, RegistryState, ServiceId};
use crate::diagnose::ThreadProbe;
use crate::report::{BlockedThread, EventKind, HostState, ServiceState, StopReason};
use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::sync::{Arc, now};
use crate::util::time::since;
use std::time::{Duration, Instant};

/// Two inspections of a hung service that are closer together than this belong to the same shutdown.
const SAME_SHUTDOWN: Duration = Duration::from_secs(1);

impl Registry {
    /// Records the stop request of a service that should stop by `deadline`, and is waited for until `end`. Called again
    /// when the deadline moves. The callbacks are those of its retirement.
    #[must_use = "the caller must run the callbacks"]
    pub(crate) fn mark_stop_requested(
        &self,
        id: ServiceId,
        deadline: Option<Instant>,
        end: Option<Instant>,
    ) -> PendingCallbacks {
        self.update(|state| state.mark_stop_requested(id, deadline, end)).announce()
    }

    /// Records that the stop callbacks of the service are about to run on another thread. Returns the name of the
    /// service.
    pub(crate) fn begin_callbacks(&self, id: ServiceId) -> Arc<str> {
        self.update(|state| state.begin_callbacks(id))
    }

    /// Records the thread on which the stop callbacks of the service run.
    pub(crate) fn set_callback_thread(&self, id: ServiceId, thread: Option<ThreadProbe>) {
        self.update(|state| {
            if let Some(callbacks) = &mut state.record(id).threads.callbacks {
                callbacks.thread = thread;
            }
        });
    }

    /// Records that the stop callbacks of the service have run.
    pub(crate) fn end_callbacks(&self, id: ServiceId) {
        self.update(|state| {
            state.record(id).threads.callbacks = None;
            state.thread_finished();
            state.record(id).forget_hung_if_finished();
            state.end_member_if_finished(id);
        });
    }

    /// Records that a dependency receives its stop request although the service has not stopped.
    pub(crate) fn record_stop_timeout(&self, id: ServiceId) {
        self.update(|state| {
            let record = state.record(id);
            if record.has_exited() {
                return;
            }
            record.stop.timed_out = true;
            let waited = record.stop.requested.map(since).unwrap_or_default();
            state.emit_for(id, EventKind::StopTimedOut { waited });
        });
    }

    /// Records that the service will not be started again.
    pub(crate) fn retire(&self, id: ServiceId) {
        self.update(|state| state.record(id).retired.retire()).run_and_log();
    }

    /// Returns a token that is stopped once the service will not be started again.
    pub(crate) fn retired_token(&self, id: ServiceId) -> StopToken {
        self.read(|state| state.records[id.index()].retired.token())
    }

    /// Records the exit: the thread of the service has nothing more to do.
    pub(crate) fn mark_exited(&self, id: ServiceId, completed: bool) {
        self.retire(id); // first, so that code that sees the exit finds the queues of the service closed
        let exit = |state: &mut RegistryState| {
            let record = state.record(id);
            let (kind, event) = match (&record.failure, &record.failed_before) {
                (Some(_), _) => (ExitKind::Stopped, None), // the failure was emitted when it happened
                (None, Some(error)) => (ExitKind::NotRestarted, Some(EventKind::NotRestarted(error.clone()))),
                (None, None) if completed => (ExitKind::Completed, Some(EventKind::Completed)),
                (None, None) => (ExitKind::Stopped, Some(EventKind::Stopped)),
            };
            record.advance(Progress::Exited(Exit { at: now(), kind }));
            record.health.clear();
            let watch = record.threads.watch.take();
            let stops_host = kind == ExitKind::Completed && record.policy.completion_stops_host;
            let (name, is_ignored) = (record.name.clone(), record.policy.ignores_failure);
            if let Some(event) = event {
                state.emit_for(id, event);
            }
            // Nobody waits for the exits of members, before their group stops.
            if state.members.is_none() || state.stop_began.is_some() {
                state.exited.push(id);
            }
            state.notify_owner = true;
            state.counts.living -= 1;
            state.counts.unjoined += 1;
            // A service whose failure is ignored counts as started, even if it failed before it was ready.
            let resolved = if is_ignored { state.resolve_start(id) } else { PendingCallbacks::default() };
            let stopping = if stops_host {
                state.request_stop(StopReason::Completed(name))
            } else {
                state.stop_if_all_completed()
            };
            (resolved.or(stopping), watch)
        };
        let (callbacks, watch) = self.update(exit);
        watch.iter().for_each(|watch| self.monitor.forget(watch));
        callbacks.run_on_thread();
    }

    /// Records that a reaper has joined the thread of the service.
    pub(crate) fn mark_joined(&self, id: ServiceId) {
        self.update(|state| {
            state.counts.joined_by_reapers += 1;
            state.release_thread(id);
        });
    }

    /// Returns how many threads the reapers have joined.
    pub(crate) fn joined_by_reapers(&self) -> usize {
        self.read(|state| state.counts.joined_by_reapers)
    }

    /// Records the end of the thread of the service, as the last thing that this thread does. During a shutdown the
    /// host joins the thread. After a shutdown no thread would, so the exit counts as joined.
    pub(super) fn mark_thread_ended(&self, id: ServiceId) {
        self.update(|state| {
            let record = state.record(id);
            // A guard has recorded the exit before, whatever happened.
            record.threads.ended = record.has_exited();
            if state.members.is_some() {
                state.release_thread(id); // nobody joins the thread of a member
            } else if state.host == HostState::Stopped {
                state.release_ended_threads();
            }
        });
    }

    /// Records that the service did not stop in time.
    pub(crate) fn mark_hung(&self, id: ServiceId, mut blocked: BlockedThread) {
        self.update(|state| {
            if state.record(id).threads.ended {
                state.release_thread(id); // the thread has ended, but was not joined in time
            }
            let record = state.record(id);
            if record.is_finished() {
                return; // the service stopped during the inspection
            }
            // The shutdown of a group ends at the same moment as that of its host, and only one of the two may have
            // inspected the thread.
            let known = record.hung().filter(|known| known.phase == blocked.phase && blocked.blocked_in.is_none());
            if let Some(known) = known.filter(|known| blocked.waited < known.waited + SAME_SHUTDOWN) {
                blocked.blocked_in = known.blocked_in.clone();
            }
            if record.mark_hung(blocked.clone()) {
                state.emit_for(id, EventKind::Hung(blocked));
            }
        });
    }
}

/// A stop request that is recorded, and must be announced once the lock is released.
#[must_use = "the deadline is announced only by `announce`"]
pub(super) struct StopRequest {
    scheduled: Vec<ScheduledStop>,
    moved: Option<StopSource>,
    retired: PendingCallbacks,
}

impl StopRequest {
    pub(super) fn followed_by(self, callbacks: PendingCallbacks) -> Self {
        StopRequest { retired: self.retired.and(callbacks), ..self }
    }

    pub(super) fn has_callbacks(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Announces the deadline. Returns the callbacks of the retirement.
    pub(super) fn announce(self) -> PendingCallbacks {
        self.scheduled.into_iter().for_each(ScheduledStop::schedule);
        self.moved.iter().for_each(|moved| _ = moved.request_stop());
        self.retired
    }
}

impl RegistryState {
    /// Records that the callbacks of the service are about to run. Returns the name of the service.
    pub(super) fn begin_callbacks(&mut self, id: ServiceId) -> Arc<str> {
        self.counts.outstanding += 1;
        let record = self.record(id);
        record.threads.callbacks = Some(CallbackThread { thread: None, since: now() });
        record.name.clone()
    }

    pub(super) fn mark_stop_requested(
        &mut self,
        id: ServiceId,
        deadline: Option<Instant>,
        end: Option<Instant>,
    ) -> StopRequest {
        let record = self.record(id);
        (record.stop.deadline, record.stop.end) = (deadline, end);
        if let Some(children) = &record.children {
            children.limit_stop(record.stop_by());
        }
        // A service that waits for a restart may have a last run, at whose end it retires itself.
        let is_last = record.stop.requested.is_none() && !record.will_restart();
        let retired = if is_last { record.retired.retire() } else { PendingCallbacks::default() };
        // A service that had begun to stop on its own has emitted the event already.
        let is_news = !matches!(record.state(), ServiceState::Stopping | ServiceState::Hung) && !record.has_exited();
        record.change(|record| _ = record.stop.requested.get_or_insert_with(now));
        let scheduled = record.stop.sources.move_to(deadline);
        let moved = record.stop.watchers.move_to(deadline);
        if is_news {
            self.emit_for(id, EventKind::Stopping);
        }
        StopRequest { scheduled, moved, retired }
    }

    /// Records that nothing is left of the thread of the service.
    fn release_thread(&mut self, id: ServiceId) {
        let record = self.record(id);
        let Progress::Exited(exit) = record.progress() else { return }; // it was recorded before
        record.advance(Progress::Joined(exit));
        self.counts.unjoined -= 1;
        self.thread_finished();
        self.record(id).forget_hung_if_finished();
        self.end_member_if_finished(id);
    }

    /// Counts the threads that have ended as joined, from now on: the shutdown is over, so no reaper joins them.
    pub(super) fn release_ended_threads(&mut self) {
        for index in 0..self.records.len() {
            if self.records[index].threads.ended {
                self.release_thread(ServiceId::new(index));
            }
        }
    }
}
