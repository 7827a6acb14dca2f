//! What the owner of a host waits for, and what it reads.

use super::record::ServiceRecord;
use super::{Registry, RegistryState, ServiceId, StopBy, StuckService};
use crate::diagnose::{Waits, waiting};
use crate::report::{HostState, ServiceState, StopReason};
use crate::util::sync::{Arc, wait};
use std::time::Instant;

/// What ends a wait of a start.
pub(crate) enum StartupEvent {
    Started,
    /// There is a reason to stop.
    StopRequested,
    /// These services are ready, or have failed and are ignored.
    Resolved(Vec<ServiceId>),
}

/// What ends a wait of a shutdown.
pub(crate) enum ShutdownEvent {
    Exited(Vec<ServiceId>),
    /// The host that a group is in has less time than the group's shutdown had.
    LessTime(StopBy),
    /// Every thread is joined, and every callback done.
    AllJoined,
}

impl Registry {
    /// Blocks until there is a reason to stop the host.
    pub(crate) fn wait_for_stop_reason(&self) -> StopReason {
        // Without a deadline, the wait returns only with a reason.
        self.wait_for(None, |state| state.reason.clone()).unwrap_or(StopReason::Requested)
    }

    /// Blocks until something happens that the start waits for, or until `until`.
    pub(crate) fn wait_for_startup(&self, until: Option<Instant>) -> Option<StartupEvent> {
        self.wait_for(until, |state| match (state.has_started, &state.reason, state.resolved.is_empty()) {
            (true, _, _) => Some(StartupEvent::Started),
            (false, Some(_), _) => Some(StartupEvent::StopRequested),
            (false, None, false) => Some(StartupEvent::Resolved(std::mem::take(&mut state.resolved))),
            (false, None, true) => None,
        })
    }

    /// Blocks until something happens that a shutdown waits for, or until `until`. `is_less` returns `true` if the
    /// time that the outer host of a group has set is less than the time of the shutdown.
    pub(crate) fn wait_for_shutdown(
        &self,
        until: Option<Instant>,
        is_less: impl Fn(&StopBy) -> bool,
    ) -> Option<ShutdownEvent> {
        self.wait_for(until, |state| {
            if !state.exited.is_empty() {
                return Some(ShutdownEvent::Exited(std::mem::take(&mut state.exited)));
            }
            if state.counts.outstanding == 0 {
                return Some(ShutdownEvent::AllJoined);
            }
            state.stop_by.filter(&is_less).map(ShutdownEvent::LessTime)
        })
    }

    /// Blocks until every thread that has exited is joined, until more services exit, or until `until`. Returns the
    /// services that exited, or `None` at `until`.
    pub(crate) fn wait_for_joins(&self, until: Instant) -> Option<Vec<ServiceId>> {
        self.wait_for(Some(until), |state| {
            let exited = std::mem::take(&mut state.exited);
            (state.counts.unjoined == 0 || !exited.is_empty()).then_some(exited)
        })
    }

    fn wait_for<R>(&self, until: Option<Instant>, found: impl FnMut(&mut RegistryState) -> Option<R>) -> Option<R> {
        // The thread of a service comes here only if the service is a group.
        self.wait_as(Waits::Services, until, found)
    }

    /// Blocks until `found` returns a value, or until `until`. Diagnostics show the wait as `waits`.
    pub(super) fn wait_as<R>(
        &self,
        waits: Waits,
        until: Option<Instant>,
        mut found: impl FnMut(&mut RegistryState) -> Option<R>,
    ) -> Option<R> {
        let _waiting = waiting(waits, None);
        let mut state = self.state.lock();
        loop {
            let result = found(&mut state);
            if result.is_some() || !wait(&self.changed, &mut state, until) {
                // Check once more: what happened in the last moment counts.
                return result.or_else(|| found(&mut state));
            }
        }
    }

    /// Returns the services that have exited, and forgets that the owner has not seen their exits.
    pub(crate) fn take_exited(&self) -> Vec<ServiceId> {
        self.update(|state| {
            state.exited.clear();
            let exited = state.records.iter().enumerate().filter(|(_, record)| record.has_exited());
            exited.map(|(index, _)| ServiceId::new(index)).collect()
        })
    }

    /// Returns `true` if the service was never started, or has exited.
    pub(crate) fn is_over(&self, id: ServiceId) -> bool {
        self.read(|state| state.records[id.index()].is_over())
    }

    /// Returns `true` if nothing of the service is left: no thread, no callback.
    #[cfg(feature = "disconnect")]
    pub(crate) fn is_finished(&self, id: ServiceId) -> bool {
        self.read(|state| state.records[id.index()].is_finished())
    }

    /// Returns `true` if a `start` of the service has ever returned `Ok` in time.
    pub(crate) fn was_ready(&self, id: ServiceId) -> bool {
        self.read(|state| state.records[id.index()].start.took.is_some())
    }

    /// Returns `true` if the service has failed for good, perhaps while it is still running.
    pub(crate) fn has_failed(&self, id: ServiceId) -> bool {
        self.read(|state| state.records[id.index()].failure.is_some())
    }

    /// Returns `true` if the service has marked itself as complete in this run.
    pub(crate) fn is_complete(&self, id: ServiceId) -> bool {
        self.read(|state| state.records[id.index()].complete)
    }

    /// Returns `true` if the current run of the service began after its stop request.
    pub(crate) fn is_finishing(&self, id: ServiceId) -> bool {
        self.read(|state| state.records[id.index()].finishing)
    }

    pub(crate) fn restarts(&self, id: ServiceId) -> u32 {
        self.read(|state| state.records[id.index()].counters.restarts)
    }

    pub(crate) fn stop_deadline(&self, id: ServiceId) -> Option<Instant> {
        self.read(|state| state.records[id.index()].stop.deadline)
    }

    /// By when the start or the shutdown in progress will be over. `None` if there is none, or if it has no limit.
    pub(super) fn host_deadline(&self) -> Option<Instant> {
        self.read(|state| match state.host {
            HostState::Starting => {
                let mut starting = state.records.iter().filter(|record| record.is_starting_first());
                let first = starting.next()?.start.limit?.at;
                starting.try_fold(first, |latest, record| Some(latest.max(record.start.limit?.at)))
            }
            HostState::Stopping => state.stop_end,
            HostState::New | HostState::Started | HostState::Stopped => None,
        })
    }

    /// Returns `true` if another run of these services would find nothing to do.
    pub(crate) fn are_services_complete(&self) -> bool {
        self.read(|state| match &state.reason {
            Some(StopReason::AllCompleted) => state.records.iter().all(|record| record.complete),
            // The host would stop again as soon as this service is started.
            Some(StopReason::Completed(name)) => {
                state.records.iter().any(|record| record.complete && record.name == *name)
            }
            _ => false,
        })
    }

    /// Returns the services that a start waits for: at most `most` of them, and how many more there are.
    pub(crate) fn waiting_for_start(&self, most: usize) -> (Vec<StuckService>, usize) {
        let is_starting = |state| matches!(state, ServiceState::Starting | ServiceState::Restarting);
        self.stuck_services(most, |record| is_starting(record.state()))
    }

    /// Returns the services that a shutdown waits for: at most `most` of them, and how many more there are.
    pub(crate) fn waiting_for_stop(&self, most: usize) -> (Vec<StuckService>, usize) {
        self.stuck_services(most, |record| {
            !record.is_finished() && (record.stop.requested.is_some() || record.has_exited())
        })
    }

    /// Returns the services of which something is left: at most `most` of them, and how many more there are.
    pub(crate) fn unfinished(&self, most: usize) -> (Vec<StuckService>, usize) {
        self.stuck_services(most, |record| !record.is_finished())
    }

    fn stuck_services(&self, most: usize, of: impl Fn(&ServiceRecord) -> bool) -> (Vec<StuckService>, usize) {
        self.read(|state| {
            let mut records = state.records.iter().filter(|record| of(record));
            (records.by_ref().take(most).map(ServiceRecord::stuck).collect(), records.count())
        })
    }

    /// Returns what is left of the service.
    pub(crate) fn stuck(&self, id: ServiceId) -> StuckService {
        self.read(|state| state.records[id.index()].stuck())
    }

    /// Returns what is left of the service. Returns `None` if nothing is left.
    pub(crate) fn stuck_if_unfinished(&self, id: ServiceId) -> Option<StuckService> {
        self.read(|state| {
            let record = &state.records[id.index()];
            (!record.is_finished()).then(|| record.stuck())
        })
    }

    /// Returns everything that is left, in groups too: the services of a group before the group. Does not recurse.
    pub(crate) fn all_unfinished(self: &Arc<Self>) -> Vec<(Arc<Registry>, ServiceId, StuckService)> {
        let mut registries = vec![self.clone()];
        let mut rows = Vec::new();
        let mut next = 0;
        while let Some(registry) = registries.get(next).cloned() {
            next += 1;
            registry.read(|state| {
                let left = state.records.iter().enumerate().filter(|(_, record)| !record.is_finished());
                registries.extend(left.clone().filter_map(|(_, record)| record.children.clone()));
                let row = |(index, record): (usize, &ServiceRecord)| {
                    (registry.clone(), ServiceId::new(index), record.stuck())
                };
                rows.push(left.map(row).collect::<Vec<_>>());
            });
        }
        rows.into_iter().rev().flatten().collect()
    }
}
