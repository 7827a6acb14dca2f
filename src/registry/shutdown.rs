//! The shutdown of a host as a whole: when it began, how long it may take and how long it took.

use super::{Registry, StopBy};
use crate::report::{EventKind, HostState, StopReason};
use crate::stop::PendingCallbacks;
use crate::util::sync::now;
use std::time::{Duration, Instant};

impl Registry {
    /// Begins a shutdown. Returns the callbacks of `stopping`, and the time that the host of a group has set.
    pub(crate) fn begin_shutdown(&self) -> (PendingCallbacks, Option<StopBy>) {
        self.update(|state| {
            let callbacks = state.request_stop(StopReason::Requested);
            state.host = HostState::Stopping;
            if state.stop_began.is_none() {
                state.stop_began = Some(now());
                let reason = state.reason.clone().unwrap_or(StopReason::Requested);
                state.emit(None, EventKind::HostStopping { reason });
            }
            (callbacks, state.stop_by)
        })
    }

    /// Ends a shutdown, with whatever is left.
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

    /// Limits the time of a stop of this host to `by`, whatever the stop was given.
    pub(crate) fn limit_stop(&self, by: Option<StopBy>) {
        self.update(|state| {
            state.stop_by = by;
            state.notify_owner = true;
        });
    }

    /// Why the host stopped, when its shutdown began, and how long it took.
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
