//! The state of the model, and what an observer of the host would see in that state.

use super::commands::{Answer, Call, Cause, Failure, HostResult, Notice, ServiceEnd, ServiceRow, Spec};
use hosted::{HostState, Phase, ServiceState, StopReason};
use std::collections::BTreeSet;

pub struct Model {
    pub services: Vec<Service>,
    pub host: HostState,
    pub reason: Option<StopReason>,
    /// The failures that are not ignored, the root cause first.
    pub failures: Vec<Failure>,
    /// The service that was added too late: every start and stop names it.
    pub late: Option<usize>,
    /// The call that the owner is in.
    pub call: Option<Call>,
    /// The notices that must still arrive.
    pub expected: Vec<Notice>,
}

#[derive(Default)]
pub struct Service {
    pub spec: Spec,
    /// The direct and indirect dependencies.
    pub after: BTreeSet<usize>,
    /// The call that the service is in.
    pub phase: Option<Phase>,
    pub exited: bool,
    /// Whether `start` has returned `Ok` once.
    pub ready: bool,
    pub stop_requested: bool,
    /// Whether `run` has returned `Ok` without a stop request.
    pub completed: bool,
    /// Whether a restart follows the current failure.
    pub will_restart: bool,
    /// The failure before the current restart. `None` once the service runs again.
    pub failed_before: Option<Failure>,
    pub stop_timed_out: bool,
    /// The first failure without a restart.
    pub failure: Option<Failure>,
    pub hung: Option<Phase>,
    pub restarts: u32,
    pub errors: u64,
}

impl Service {
    /// The row of the service in a report.
    pub fn row(&self) -> ServiceRow {
        let outcome = match (self.phase, self.hung, self.failure) {
            (_, Some(phase), _) => ServiceEnd::Hung(phase),
            (_, _, Some(failure)) => ServiceEnd::Failed(failure),
            (Some(_), ..) => ServiceEnd::Running,
            _ if !self.exited => ServiceEnd::NeverStarted,
            _ if self.completed => ServiceEnd::Completed,
            _ => self.failed_before.map_or(ServiceEnd::Stopped, ServiceEnd::NotRestarted),
        };
        ServiceRow { outcome, restarts: self.restarts, errors: self.errors, stop_timed_out: self.stop_timed_out }
    }

    fn state(&self) -> ServiceState {
        match (self.phase, self.row().outcome) {
            (_, ServiceEnd::Hung(_)) => ServiceState::Hung,
            (Some(_), _) if self.stop_requested => ServiceState::Stopping,
            (Some(Phase::Start), _) => ServiceState::Starting,
            (Some(Phase::Run), _) => ServiceState::Running,
            (Some(_), _) if self.will_restart => ServiceState::Restarting,
            (Some(_), _) => ServiceState::Stopping,
            (None, ServiceEnd::NeverStarted) => ServiceState::Waiting,
            (None, ServiceEnd::Failed(_)) => ServiceState::Failed,
            (None, ServiceEnd::Completed) => ServiceState::Completed,
            (None, ServiceEnd::NotRestarted(_)) => ServiceState::NotRestarted,
            (None, _) => ServiceState::Stopped,
        }
    }
}

impl Model {
    pub fn new() -> Self {
        let (services, failures, expected) = (Vec::new(), Vec::new(), Vec::new());
        Model { services, host: HostState::New, reason: None, failures, late: None, call: None, expected }
    }

    /// The services that are in a call.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.services.len()).filter(|&position| self.services[position].phase.is_some()).collect()
    }

    /// Returns the state that the host shows. Returns `None` if the state depends on timing.
    pub fn state(&self) -> Option<HostState> {
        (!self.is_stopping_again()).then_some(self.host)
    }

    /// Returns the state that a service shows. Returns `None` if the state depends on timing.
    pub fn state_of(&self, position: usize) -> Option<ServiceState> {
        let service = &self.services[position];
        let unknown = self.is_stopping_again() && service.hung.is_some() && service.exited;
        (!unknown).then(|| service.state())
    }

    /// Returns `true` if the owner may be in another stop, which waits for hung services. The test cannot observe when
    /// this stop begins or when it joins a thread.
    fn is_stopping_again(&self) -> bool {
        self.call.is_some() && self.services.iter().any(|service| service.hung.is_some())
    }

    /// The result of the host so far. The caller sets `ok`.
    pub fn host_result(&self) -> HostResult {
        let hung = self.services.iter().enumerate();
        let hung = hung.filter_map(|(position, service)| Some((position, service.hung?, Cause::TimedOut)));
        let failures = self.failures.iter().copied().chain(hung).collect();
        let (reason, services) = (self.reason.clone(), self.services.iter().map(Service::row).collect());
        HostResult { ok: false, refused: false, reason: reason.unwrap_or(StopReason::Requested), failures, services }
    }

    pub fn answer(&mut self, answer: Answer) {
        self.call = None;
        self.expected.push(Notice::Returned(answer));
    }
}
