//! What a test sees of a registry: the models check the laws of a host with it.

#![allow(dead_code, reason = "the models use it, and the unit tests of the library do not")]

use super::Registry;
use super::record::ServiceRecord;
use crate::report::{HostState, ServiceState, StopReason};
use crate::util::sync::Arc;

/// One service at one moment.
pub(crate) struct ObservedService {
    pub(crate) name: Arc<str>,
    pub(crate) state: ServiceState,
    pub(crate) was_started: bool,
    pub(crate) start_resolved: bool,
    pub(crate) start_timed_out: bool,
    pub(crate) stop_requested: bool,
    pub(crate) stop_timed_out: bool,
    pub(crate) has_exited: bool,
    pub(crate) is_joined: bool,
    pub(crate) thread_ended: bool,
    pub(crate) ignores_failure: bool,
}

/// A host at one moment.
pub(crate) struct ObservedHost {
    pub(crate) state: HostState,
    pub(crate) reason: Option<StopReason>,
    pub(crate) has_started: bool,
    pub(crate) first_failure: Option<String>,
    pub(crate) stopping_is_stopped: bool,
    pub(crate) outstanding: usize,
    pub(crate) unjoined: usize,
    pub(crate) joined_by_reapers: usize,
    pub(crate) services: Vec<ObservedService>,
}

impl Registry {
    /// Returns the host at this moment. The counters have been checked against the records.
    pub(crate) fn observe(&self) -> ObservedHost {
        self.read(|state| {
            state.counts.check(&state.records, state.start.map(|(_, services)| services));
            ObservedHost {
                state: state.host,
                reason: state.reason.clone(),
                has_started: state.has_started,
                first_failure: state.failures.first().map(|error| error.service().to_owned()),
                stopping_is_stopped: self.stopping.stop_requested(),
                outstanding: state.counts.outstanding,
                unjoined: state.counts.unjoined,
                joined_by_reapers: state.counts.joined_by_reapers,
                services: state.records.iter().map(ServiceRecord::observe).collect(),
            }
        })
    }
}

impl ServiceRecord {
    fn observe(&self) -> ObservedService {
        ObservedService {
            name: self.name.clone(),
            state: self.state(),
            was_started: self.was_started(),
            start_resolved: self.start.resolved,
            start_timed_out: self.start.timed_out,
            stop_requested: self.stop.requested.is_some(),
            stop_timed_out: self.stop.timed_out,
            has_exited: self.has_exited(),
            is_joined: self.is_joined(),
            thread_ended: self.threads.ended,
            ignores_failure: self.policy.ignores_failure,
        }
    }
}
