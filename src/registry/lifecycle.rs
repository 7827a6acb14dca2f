//! What a host records about itself: its start, the reason to stop, and its shutdown.

use super::record::{Policy, ServiceRecord};
use super::{Registry, RegistryState, ServiceId, StopBy};
use crate::report::{EventKind, HostState, StopReason, drop_error};
use crate::stop::PendingCallbacks;
use crate::util::sync::now;
use crate::util::time::{deadline, since};
use std::time::{Duration, Instant};

impl Registry {
    /// Begins the start of the services with these policies. Returns the reason if a stop was requested before.
    pub(crate) fn begin_start(&self, policies: &[Policy]) -> Result<PendingCallbacks, StopReason> {
        self.update(|state| match &state.reason {
            None => Ok(state.begin_start(policies)),
            Some(reason) => Err(reason.clone()),
        })
    }

    /// Requests the stop of the host. The caller must run the callbacks of `stopping`.
    pub(crate) fn request_stop(&self, reason: StopReason) -> PendingCallbacks {
        let now = self.clock.now(); // before the lock, because the clock has its own
        self.update(|state| state.request_stop_at(reason, now))
    }

    /// Records that the host stops without having started anything.
    pub(crate) fn stop_unstarted(&self, reason: StopReason) -> PendingCallbacks {
        self.update(|state| {
            state.host = HostState::Stopped;
            state.request_stop(reason)
        })
    }

    /// Begins a shutdown that may take `timeout`. Returns the callbacks of `stopping`, and the time that the host of a group
    /// has set.
    pub(crate) fn begin_shutdown(&self, timeout: Duration) -> (PendingCallbacks, Option<StopBy>) {
        self.update(|state| {
            let callbacks = state.request_stop(StopReason::Requested);
            state.host = HostState::Stopping;
            state.stop_end = deadline(timeout);
            if state.stop_began.is_none() {
                state.stop_began = Some(now());
                let reason = state.reason.clone().unwrap_or(StopReason::Requested);
                state.emit(None, EventKind::HostStopping { reason });
            }
            (callbacks, state.stop_by)
        })
    }

    /// Ends a shutdown, whatever is left.
    pub(crate) fn end_shutdown(&self) {
        self.update(|state| {
            let now = now();
            state.stop_ended = Some(now);
            state.host = HostState::Stopped;
            state.release_ended_threads();
            let hung = state.records.iter().filter(|record| record.hung().is_some()).count();
            state.left_hung = hung;
            let took = state.stop_began.map_or(Duration::ZERO, |began| now - began);
            state.emit(None, EventKind::HostStopped { took, hung });
        });
    }

    /// Limits the time of a stop of this host to `by`, whatever timeout the stop was given.
    pub(crate) fn limit_stop(&self, by: Option<StopBy>) {
        self.update(|state| {
            state.stop_by = by;
            state.notify_owner = true;
        });
    }

    /// Returns why the host stopped, when its shutdown began, and how long it took.
    pub(crate) fn stop_summary(&self) -> (Option<StopReason>, Option<Instant>, Duration) {
        self.read(|state| {
            let took = state.stop_began.zip(state.stop_ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
            (state.reason.clone(), state.stop_began, took)
        })
    }

    /// Returns `true` if another shutdown has something to do: threads to wait for, or services to report that were hung and have
    /// stopped since.
    pub(crate) fn has_unfinished_stop(&self) -> bool {
        self.read(|state| state.counts.outstanding > 0 || state.left_hung > 0)
    }
}

impl RegistryState {
    /// Records the reason to stop, unless there is one (invariant 1).
    pub(super) fn request_stop(&mut self, reason: StopReason) -> PendingCallbacks {
        if self.reason.is_some() {
            self.end_drain();
            return PendingCallbacks::default();
        }
        self.reason = Some(reason);
        if matches!(self.host, HostState::Starting | HostState::Started) {
            self.host = HostState::Stopping;
        }
        self.notify_owner = true;
        self.stopping.signal().unwrap_or_default()
    }

    pub(super) fn begin_start(&mut self, policies: &[Policy]) -> PendingCallbacks {
        let services = policies.len();
        self.records.iter_mut().zip(policies).for_each(|(record, policy)| record.policy = *policy);
        self.host = HostState::Starting;
        self.start = Some((now(), services));
        (self.counts.living, self.counts.unresolved) = (services, services);
        self.emit(None, EventKind::HostStarting { services });
        self.finish_start_if_resolved()
    }

    /// Records that the start no longer waits for the service: it is ready, or has failed and is ignored.
    pub(super) fn resolve_start(&mut self, id: ServiceId) -> PendingCallbacks {
        if std::mem::replace(&mut self.record(id).start.resolved, true) {
            return PendingCallbacks::default();
        }
        self.counts.unresolved -= 1;
        self.notify_owner |= self.is_watched();
        if self.members.is_some() {
            return PendingCallbacks::default(); // a caller of `wait_ready` may wait for a member, and no start does
        }
        self.resolved.push(id);
        self.finish_start_if_resolved()
    }

    /// Decides under the lock whether the host has started (invariant 2), so that it does not matter when the owner checks.
    pub(super) fn finish_start_if_resolved(&mut self) -> PendingCallbacks {
        if self.counts.unresolved > 0 || self.host != HostState::Starting {
            return PendingCallbacks::default();
        }
        self.host = HostState::Started;
        self.has_started = true;
        let took = self.start.map_or(Duration::ZERO, |(began, _)| since(began));
        self.emit(None, EventKind::HostStarted { took });
        if self.group.is_none() {
            // The latch has no callbacks. The start of a group is only a part of the start of its host.
            _ = self.started.signal();
        }
        self.stop_if_all_completed()
    }

    pub(super) fn stop_if_all_completed(&mut self) -> PendingCallbacks {
        // A dynamic group without members waits for the next one.
        let is_over = self.counts.living == 0 && self.host == HostState::Started && self.members.is_none();
        if self.counts.living == 0 {
            self.end_drain();
        }
        if is_over { self.request_stop(StopReason::AllCompleted) } else { PendingCallbacks::default() }
    }
}

impl Drop for RegistryState {
    /// Drops the errors of the services one by one, because two panics in one `drop` abort the process.
    fn drop(&mut self) {
        self.records.iter_mut().for_each(ServiceRecord::drop_errors);
        self.failures.drain(..).for_each(drop_error);
    }
}
