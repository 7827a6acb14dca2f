//! The contract of a host without threads and time: each command changes the state and adds notices to `expected`.

use super::commands::{Answer, Call, Cause, Failure, HostResult, Notice, ServiceEnd, Spec, Timeout, Verdict, name};
use super::state::{Model, Service};
use hosted::{HostState, Phase, StopReason};
use std::mem::{replace, take};

impl Model {
    pub fn add(&mut self, spec: &Spec, after: &[usize]) {
        if self.host != HostState::New {
            self.late.get_or_insert(self.services.len());
        }
        let through = after.iter().flat_map(|&before| self.services[before].after.iter().copied());
        let after = after.iter().copied().chain(through).collect();
        self.services.push(Service { spec: spec.clone(), after, ..Service::default() });
        self.expected.push(Notice::Returned(Answer::Added));
    }

    pub fn request_stop(&mut self) {
        self.request(StopReason::Requested);
        self.go_on();
    }

    pub fn call(&mut self, call: Call) {
        self.call = Some(call);
        if call == Call::Start {
            let flawed = || self.services.iter().position(|service| service.spec.flawed);
            let culprit = match self.late {
                None if self.host != HostState::New => Some("host".to_owned()),
                late => late.or_else(flawed).map(name),
            };
            if let Some(culprit) = culprit {
                let (reason, failures) = (StopReason::Failed(culprit.into()), Vec::new());
                return self.answer(Answer::Ended(HostResult {
                    refused: true,
                    reason,
                    failures,
                    ..self.host_result()
                }));
            }
            self.host = HostState::Starting;
        }
        self.go_on();
    }

    /// The current call of a service returns `verdict`.
    pub fn returned(&mut self, position: usize, verdict: Verdict) {
        let service = &mut self.services[position];
        let phase = service.phase.expect("only a service in a call can return");
        service.completed |= phase == Phase::Run && verdict.is_ok() && !service.stop_requested;
        let on_request = verdict == Err(Cause::Stopped) && service.stop_requested && phase != Phase::Stop;
        if let (Err(cause), false) = (verdict, on_request) {
            self.error((position, phase, cause));
        }
        let service = &self.services[position];
        self.go_to(
            position,
            match phase {
                Phase::Start if verdict.is_ok() => Some(Phase::Run),
                Phase::Run => Some(Phase::Stop),
                _ if service.will_restart && !service.stop_requested => Some(Phase::Start),
                _ => None,
            },
        );
        let service = &self.services[position];
        if service.spec.stops_host && service.row().outcome == ServiceEnd::Completed {
            self.request(StopReason::Completed(name(position).into()));
        }
        self.go_on();
    }

    fn error(&mut self, failure: Failure) {
        let (position, phase, _) = failure;
        let service = &mut self.services[position];
        service.errors += 1;
        if service.will_restart {
            return; // a failed clean-up does not prevent the restart
        }
        // A first start is never retried.
        service.will_restart =
            service.ready && phase != Phase::Stop && !service.stop_requested && service.spec.restarts > 0;
        if service.will_restart {
            service.spec.restarts -= 1;
            service.failed_before = Some(failure);
            return;
        }
        service.failure.get_or_insert(failure);
        if !service.spec.ignored {
            self.failures.push(failure);
            self.request(StopReason::Failed(name(position).into()));
        }
    }

    /// Moves a service to its next call, or to its exit.
    fn go_to(&mut self, position: usize, next: Option<Phase>) {
        let service = &mut self.services[position];
        (service.phase, service.exited) = (next, next.is_none());
        if service.exited && self.host == HostState::Stopped {
            service.hung = None; // it shows its true outcome without another stop
        }
        service.ready |= next == Some(Phase::Run);
        service.failed_before = service.failed_before.filter(|_| next != Some(Phase::Run));
        service.restarts += u32::from(next == Some(Phase::Start) && take(&mut service.will_restart));
        self.expected.push(next.map_or(Notice::ThreadExited(position), |phase| Notice::Called(position, phase)));
    }

    /// Requests the stop of the host. The first reason is kept.
    fn request(&mut self, reason: StopReason) {
        self.reason.get_or_insert(reason);
        if matches!(self.host, HostState::Starting | HostState::Started) {
            self.host = HostState::Stopping;
        }
    }

    /// Does everything that follows without another command.
    fn go_on(&mut self) {
        if self.host == HostState::Starting && self.reason.is_none() {
            self.start_more();
        }
        if self.host == HostState::Started && self.alive().is_empty() {
            self.request(StopReason::AllCompleted);
        }
        match (self.call, self.reason.clone()) {
            (Some(Call::Wait), Some(reason)) => self.answer(Answer::Waited(reason)),
            (Some(Call::Drop(_)), _) if self.host == HostState::Stopped => self.answer(Answer::Dropped),
            (Some(Call::Stop(timeout) | Call::Drop(timeout)), _) => self.stop_more(timeout),
            (Some(Call::Start), Some(_)) => self.stop_more(Timeout::Long),
            _ => {}
        }
    }

    /// Starts every service whose dependencies are ready.
    fn start_more(&mut self) {
        let is_resolved = |service: &Service| service.ready || service.exited;
        for position in 0..self.services.len() {
            let Service { phase, exited, after, .. } = &self.services[position];
            if phase.is_none() && !exited && after.iter().all(|&before| is_resolved(&self.services[before])) {
                self.go_to(position, Some(Phase::Start));
            }
        }
        if self.services.iter().all(is_resolved) {
            self.host = HostState::Started;
            self.answer(Answer::Started);
        }
    }

    /// Requests the stop of every service that no live service depends on. With a timeout of zero, it requests every
    /// stop, and all live services are hung.
    fn stop_more(&mut self, timeout: Timeout) {
        self.request(StopReason::Requested);
        self.host = HostState::Stopping;
        let (alive, no_time) = (self.alive(), timeout == Timeout::Zero);
        for &position in &alive {
            let needed = alive.iter().any(|&other| self.services[other].after.contains(&position));
            let service = &mut self.services[position];
            if (no_time || !needed) && !replace(&mut service.stop_requested, true) {
                self.expected.push(Notice::StopRequested(position));
            }
            if no_time {
                service.hung = service.phase;
                service.stop_timed_out |= alive.iter().any(|other| service.after.contains(other));
            }
        }
        if no_time || alive.is_empty() {
            self.services.iter_mut().filter(|service| service.exited).for_each(|service| service.hung = None);
            self.host = HostState::Stopped;
            let host_result = self.host_result();
            let well = self.call != Some(Call::Start) && host_result.failures.is_empty();
            let (ok, refused) = (well && self.late.is_none(), well && self.late.is_some());
            let dropped = matches!(self.call, Some(Call::Drop(_)));
            self.answer(if dropped {
                Answer::Dropped
            } else {
                Answer::Ended(HostResult { ok, refused, ..host_result })
            });
        }
    }
}
