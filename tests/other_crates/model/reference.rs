//! The contract of a host as a plain value: no threads, no time. A command goes in, and what must happen is `told`.

use super::books::{Model, Service};
use super::words::{Answer, Call, Cause, End, Ending, Failure, Notice, Spec, Timeout, Verdict, name};
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
        self.told.push(Notice::Returned(Answer::Added));
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
                return self.answer(Answer::Ended(Ending { refused: true, reason, failures, ..self.ending() }));
            }
            self.host = HostState::Starting;
        }
        self.go_on();
    }

    /// A service's call comes to this.
    pub fn returned(&mut self, place: usize, verdict: Verdict) {
        let service = &mut self.services[place];
        let phase = service.phase.expect("only who is in a call returns");
        service.completed |= phase == Phase::Run && verdict.is_ok() && !service.asked;
        let on_request = verdict == Err(Cause::Stopped) && service.asked && phase != Phase::Stop;
        if let (Err(cause), false) = (verdict, on_request) {
            self.error((place, phase, cause));
        }
        let service = &self.services[place];
        self.go_to(
            place,
            match phase {
                Phase::Start if verdict.is_ok() => Some(Phase::Run),
                Phase::Run => Some(Phase::Stop),
                _ if service.again && !service.asked => Some(Phase::Start),
                _ => None,
            },
        );
        let service = &self.services[place];
        if service.spec.stops_host && service.fate().outcome == End::Completed {
            self.request(StopReason::Completed(name(place).into()));
        }
        self.go_on();
    }

    fn error(&mut self, failure: Failure) {
        let (place, phase, _) = failure;
        let service = &mut self.services[place];
        service.errors += 1;
        if service.again {
            return; // what goes wrong in cleaning up does not keep it from its next run
        }
        // The first start is never tried again.
        service.again = service.ready && phase != Phase::Stop && !service.asked && service.spec.restarts > 0;
        if service.again {
            service.spec.restarts -= 1;
            service.failed_before = Some(failure);
            return;
        }
        service.failure.get_or_insert(failure);
        if !service.spec.ignored {
            self.failures.push(failure);
            self.request(StopReason::Failed(name(place).into()));
        }
    }

    /// Into its next call, or to its end.
    fn go_to(&mut self, place: usize, next: Option<Phase>) {
        let service = &mut self.services[place];
        (service.phase, service.over) = (next, next.is_none());
        if service.over && self.host == HostState::Stopped {
            service.hung = None; // it shows how it ended, without another stop
        }
        service.ready |= next == Some(Phase::Run);
        service.failed_before = service.failed_before.filter(|_| next != Some(Phase::Run));
        service.restarts += u32::from(next == Some(Phase::Start) && take(&mut service.again));
        self.told.push(next.map_or(Notice::Gone(place), |phase| Notice::Called(place, phase)));
    }

    /// The first reason is the reason.
    fn request(&mut self, reason: StopReason) {
        self.reason.get_or_insert(reason);
        if matches!(self.host, HostState::Starting | HostState::Started) {
            self.host = HostState::Stopping;
        }
    }

    /// What follows from it all, without another command.
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

    /// Who comes after nobody that is not ready starts.
    fn start_more(&mut self) {
        let settled = |service: &Service| service.ready || service.over;
        for place in 0..self.services.len() {
            let Service { phase, over, after, .. } = &self.services[place];
            if phase.is_none() && !over && after.iter().all(|&before| settled(&self.services[before])) {
                self.go_to(place, Some(Phase::Start));
            }
        }
        if self.services.iter().all(settled) {
            self.host = HostState::Started;
            self.answer(Answer::Started);
        }
    }

    /// Who is needed by nobody alive is asked; without time, everybody is, and is hung.
    fn stop_more(&mut self, timeout: Timeout) {
        self.request(StopReason::Requested);
        self.host = HostState::Stopping;
        let (alive, hurry) = (self.alive(), timeout == Timeout::Zero);
        for &place in &alive {
            let needed = alive.iter().any(|&other| self.services[other].after.contains(&place));
            let service = &mut self.services[place];
            if (hurry || !needed) && !replace(&mut service.asked, true) {
                self.told.push(Notice::Asked(place));
            }
            if hurry {
                service.hung = service.phase;
                service.stop_timed_out |= alive.iter().any(|other| service.after.contains(other));
            }
        }
        if hurry || alive.is_empty() {
            self.services.iter_mut().filter(|service| service.over).for_each(|service| service.hung = None);
            self.host = HostState::Stopped;
            let ending = self.ending();
            let well = self.call != Some(Call::Start) && ending.failures.is_empty();
            let (ok, refused) = (well && self.late.is_none(), well && self.late.is_some());
            let dropped = matches!(self.call, Some(Call::Drop(_)));
            self.answer(if dropped { Answer::Dropped } else { Answer::Ended(Ending { ok, refused, ..ending }) });
        }
    }
}
