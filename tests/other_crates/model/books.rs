//! What the model knows, and what a look at it shows.

use super::words::{Answer, Call, Cause, End, Ending, Failure, Fate, Notice, Spec};
use hosted::{HostState, Phase, ServiceState, StopReason};
use std::collections::BTreeSet;

pub struct Model {
    pub services: Vec<Service>,
    pub host: HostState,
    pub reason: Option<StopReason>,
    /// Those that count, the first one first.
    pub failures: Vec<Failure>,
    /// Who was added too late: every start and stop says so.
    pub late: Option<usize>,
    /// What the owner is busy with.
    pub call: Option<Call>,
    /// What must happen, and has not been seen yet.
    pub told: Vec<Notice>,
}

#[derive(Default)]
pub struct Service {
    pub spec: Spec,
    /// Whom it comes after, directly or through others.
    pub after: BTreeSet<usize>,
    /// The call it is in.
    pub phase: Option<Phase>,
    pub over: bool,
    /// It has started once.
    pub ready: bool,
    pub asked: bool,
    /// It has ended by itself.
    pub completed: bool,
    /// It has failed, and will be started again.
    pub again: bool,
    /// The failure that it will be started again after, until it runs again.
    pub failed_before: Option<Failure>,
    pub stop_timed_out: bool,
    /// Its first final one.
    pub failure: Option<Failure>,
    pub hung: Option<Phase>,
    pub restarts: u32,
    pub errors: u64,
}

impl Service {
    /// As a report shows it.
    pub fn fate(&self) -> Fate {
        let outcome = match (self.phase, self.hung, self.failure) {
            (_, Some(phase), _) => End::Hung(phase),
            (_, _, Some(failure)) => End::Failed(failure),
            (Some(_), ..) => End::Running,
            _ if !self.over => End::NeverStarted,
            _ if self.completed => End::Completed,
            _ => self.failed_before.map_or(End::Stopped, End::NotRestarted),
        };
        Fate { outcome, restarts: self.restarts, errors: self.errors, stop_timed_out: self.stop_timed_out }
    }

    fn state(&self) -> ServiceState {
        match (self.phase, self.fate().outcome) {
            (_, End::Hung(_)) => ServiceState::Hung,
            (Some(_), _) if self.asked => ServiceState::Stopping,
            (Some(Phase::Start), _) => ServiceState::Starting,
            (Some(Phase::Run), _) => ServiceState::Running,
            (Some(_), _) if self.again => ServiceState::Restarting,
            (Some(_), _) => ServiceState::Stopping,
            (None, End::NeverStarted) => ServiceState::Waiting,
            (None, End::Failed(_)) => ServiceState::Failed,
            (None, End::Completed) => ServiceState::Completed,
            (None, End::NotRestarted(_)) => ServiceState::NotRestarted,
            (None, _) => ServiceState::Stopped,
        }
    }
}

impl Model {
    pub fn new() -> Self {
        let (services, failures, told) = (Vec::new(), Vec::new(), Vec::new());
        Model { services, host: HostState::New, reason: None, failures, late: None, call: None, told }
    }

    /// Those that are in a call.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.services.len()).filter(|&place| self.services[place].phase.is_some()).collect()
    }

    /// What the host shows, if that can be known.
    pub fn state(&self) -> Option<HostState> {
        (!self.is_stopping_again()).then_some(self.host)
    }

    /// What a service shows, if that can be known.
    pub fn state_of(&self, place: usize) -> Option<ServiceState> {
        let service = &self.services[place];
        let unknown = self.is_stopping_again() && service.hung.is_some() && service.over;
        (!unknown).then(|| service.state())
    }

    /// Another stop waits for those that were left hung. Nothing tells when it begins, nor when it has joined one.
    fn is_stopping_again(&self) -> bool {
        self.call.is_some() && self.services.iter().any(|service| service.hung.is_some())
    }

    /// How it has ended so far. `ok` is for the caller to say.
    pub fn ending(&self) -> Ending {
        let hung = self.services.iter().enumerate();
        let hung = hung.filter_map(|(place, service)| Some((place, service.hung?, Cause::TimedOut)));
        let failures = self.failures.iter().copied().chain(hung).collect();
        let (reason, services) = (self.reason.clone(), self.services.iter().map(Service::fate).collect());
        Ending { ok: false, refused: false, reason: reason.unwrap_or(StopReason::Requested), failures, services }
    }

    pub fn answer(&mut self, answer: Answer) {
        self.call = None;
        self.told.push(Notice::Returned(answer));
    }
}
