//! What the thread of a service records, from its creation to the drop of the service's value. Each arrow of the diagram
//! in `record` stands once.

use super::progress::{Progress, StartLimit};
use super::{Registry, RegistryState, ServiceId};
use crate::diagnose::ThreadProbe;
use crate::report::{Cause, EventKind, Phase, ServiceError, StopReason, drop_error, error_chain_text};
use crate::stop::PendingCallbacks;
use crate::util::sync::{Arc, now};
use crate::util::time::since;
use std::time::Duration;

impl Registry {
    /// Records that the thread of the service is about to be created. Returns its name, or `None` if there is a reason
    /// to stop.
    pub(crate) fn begin_service(&self, id: ServiceId, limit: Option<StartLimit>) -> Option<Arc<str>> {
        self.update(|state| {
            if state.reason.is_some() {
                return None;
            }
            state.counts.outstanding += 1;
            let record = state.record(id);
            record.start.limit = limit;
            record.start.began = Some(now());
            record.advance(Progress::Starting);
            Some(record.name.clone())
        })
    }

    /// Records that the thread of the service could not be created.
    pub(crate) fn undo_begin_service(&self, id: ServiceId) {
        let watch = self.update(|state| {
            let record = state.record(id);
            record.start.began = None;
            record.advance(Progress::NotStarted);
            let watch = record.threads.watch.take();
            state.thread_finished();
            watch
        });
        watch.iter().for_each(|watch| self.monitor.forget(watch));
    }

    /// Records that `start` is about to be called. Returns `false` if the service must not start again: a stop was
    /// requested, or the service missed its start timeout. A service that `finishes` and was ready once may start after
    /// a stop request.
    pub(crate) fn mark_starting(&self, id: ServiceId, thread: Option<ThreadProbe>, finishes: bool) -> bool {
        self.update(|state| {
            let record = state.record(id);
            let is_restart = record.will_restart();
            let stop_requested = record.stop.requested.is_some();
            let may_finish = finishes && record.start.took.is_some();
            if is_restart && (record.start.timed_out || stop_requested && !may_finish) {
                return false;
            }
            record.finishing = is_restart && stop_requested;
            record.complete = false;
            record.threads.own = thread;
            record.counters.restarts += u32::from(is_restart);
            record.health.clear();
            record.advance(Progress::Starting);
            state.emit_for(id, EventKind::Starting);
            true
        })
    }

    /// Records that `start` has returned `Ok`. Returns `false` if that was too late, so that `run` must not be called.
    pub(crate) fn mark_ready(&self, id: ServiceId) -> bool {
        let ready = |state: &mut RegistryState| {
            let timed_out = state.fail_if_start_timed_out(id);
            let record = state.record(id);
            if record.start.timed_out {
                return (false, timed_out, PendingCallbacks::default(), None);
            }
            // A service that starts after its stop request is in its last run.
            let is_last = record.stop.requested.is_some();
            let retired = if is_last { record.retired.retire() } else { PendingCallbacks::default() };
            let failed_before = record.failed_before.take();
            record.start.took = record.start.took.or_else(|| record.start.began.map(since));
            record.advance(Progress::Running);
            state.emit_for(id, EventKind::Started);
            (true, state.resolve_start(id), retired, failed_before)
        };
        let (in_time, callbacks, retired, failed_before) = self.update(ready);
        drop_error(failed_before);
        callbacks.run_on_thread();
        retired.run_and_log();
        in_time
    }

    /// Records that `stop` is about to be called.
    pub(crate) fn mark_cleaning_up(&self, id: ServiceId) {
        self.update(|state| {
            let record = state.record(id);
            if record.will_restart() {
                return; // `schedule_restart` has advanced the record
            }
            record.advance(Progress::CleaningUp { restarts: false });
            if record.stop.requested.is_none() {
                state.emit_for(id, EventKind::Stopping);
            }
        });
    }

    /// Records that `start` or `run` has returned, and that the next run begins after `after`.
    pub(crate) fn schedule_restart(&self, id: ServiceId, error: Option<&ServiceError>, after: Duration) {
        let failed_before = self.update(|state| {
            let record = state.record(id);
            if let Some(error) = error {
                record.count_error(error.to_string());
            }
            let failed_before = std::mem::replace(&mut record.failed_before, error.cloned());
            // Only a run that was ready has something to clean up.
            let was_ready = record.progress() == Progress::Running;
            record.advance(if was_ready { Progress::CleaningUp { restarts: true } } else { Progress::BackingOff });
            let restart = record.counters.restarts + 1;
            state.emit_for(id, EventKind::Restarting { error: error.cloned(), restart, after });
            failed_before
        });
        drop_error(failed_before);
    }

    /// Records that the service is about to wait for its next run.
    pub(crate) fn mark_backing_off(&self, id: ServiceId) {
        self.update(|state| state.record(id).advance(Progress::BackingOff));
    }

    /// Records that the stop deadline has passed before the service could try again to finish what it holds. Its last
    /// failure, which was counted when the restart was announced, is final.
    pub(crate) fn give_up_finishing(&self, id: ServiceId) {
        let (callbacks, error) = self.update(|state| {
            let record = state.record(id);
            let error = record.failed_before.take();
            record.counters.errors -= u64::from(error.is_some());
            let callbacks = error.as_ref().map(|error| state.record_failure(id, error)).unwrap_or_default();
            (callbacks, error)
        });
        callbacks.run_on_thread();
        drop_error(error);
    }

    /// Records that the service has failed for good.
    pub(crate) fn record_failure(&self, id: ServiceId, error: &ServiceError) {
        self.update(|state| state.record_failure(id, error)).run_on_thread();
    }

    /// Records an error that the service reports and that does not end it.
    pub(crate) fn record_error(&self, id: ServiceId, error: &(dyn std::error::Error + 'static)) {
        let error = error_chain_text(error);
        self.update(|state| {
            state.record(id).count_error(error.clone());
            state.emit_for(id, EventKind::Reported { error });
        });
    }

    /// Records that ticks of the service passed while it was busy.
    pub(crate) fn record_missed_ticks(&self, id: ServiceId, missed: u32) {
        self.update(|state| {
            state.record(id).counters.ticks_missed += u64::from(missed);
            state.emit_for(id, EventKind::MissedTicks { missed });
        });
    }

    /// Records that the service is complete: another run would find nothing to do.
    pub(crate) fn mark_complete(&self, id: ServiceId) {
        self.update(|state| state.record(id).complete = true);
    }

    /// Records that the value of the service is about to be dropped.
    pub(crate) fn mark_dropping(&self, id: ServiceId) {
        self.update(|state| state.record(id).advance(Progress::Dropping));
    }

    /// Fails the service if its first start has taken too long. Returns `true` if it has.
    pub(crate) fn fail_if_start_timed_out(&self, id: ServiceId) -> bool {
        let (timed_out, callbacks) = self.update(|state| {
            let callbacks = state.fail_if_start_timed_out(id);
            (state.record(id).start.timed_out, callbacks)
        });
        callbacks.run_on_thread();
        timed_out
    }
}

impl RegistryState {
    /// Fails a service whose first start has not returned in time, whatever it returns later.
    fn fail_if_start_timed_out(&mut self, id: ServiceId) -> PendingCallbacks {
        let record = self.record(id);
        let is_over = record.start.timed_out || record.start.took.is_some() || record.has_exited();
        let Some(limit) = record.start.limit.filter(|limit| !is_over && limit.at <= now()) else {
            return PendingCallbacks::default();
        };
        record.start.timed_out = true;
        record.policy.ignores_failure &= !limit.of_host;
        let (is_ignored, cause) = (record.policy.ignores_failure, Cause::TimedOut(limit.limit));
        let error = ServiceError::new(record.name.clone(), Phase::Start, cause);
        let callbacks = self.record_failure(id, &error);
        if is_ignored { callbacks.or(self.resolve_start(id)) } else { callbacks }
    }

    /// Records a final failure: a reason to stop the host, unless failures of the service are ignored.
    ///
    /// The caller keeps `error` until the lock is released, because its last drop is user code.
    #[must_use = "the caller must run the callbacks of `stopping`"]
    fn record_failure(&mut self, id: ServiceId, error: &ServiceError) -> PendingCallbacks {
        let record = self.record(id);
        record.count_error(error.to_string());
        // The failure may come from a callback, after the thread of the service has exited.
        record.change(|record| _ = record.failure.get_or_insert_with(|| error.clone()));
        let (is_ignored, name) = (record.policy.ignores_failure, record.name.clone());
        self.emit_for(id, EventKind::Failed(error.clone()));
        if self.pass_on_member_failure(error, !is_ignored) || is_ignored {
            return PendingCallbacks::default();
        }
        self.failures.push(error.clone());
        self.request_stop(StopReason::Failed(name))
    }
}
