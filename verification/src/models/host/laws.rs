//! The laws that every host obeys, at every moment and at its end.

use super::probe::Step;
use super::stage::Stage;
use crate::registry::{ObservedService, Registry};
use crate::report::{Event, EventKind};
use crate::{
    Cause, HostError, HostState, Outcome, Phase, Report, ServiceError, ServiceReport, ServiceState, StopReason,
};
use std::collections::{BTreeSet, HashSet};
use std::error::Error;

/// Holds at every moment. `after` has the dependencies of each service. The registry itself checks its counters.
pub(super) fn check_registry(registry: &Registry, after: &[Vec<usize>]) {
    let host = registry.observe();
    host.services.iter().for_each(check_service);
    for (position, before) in after.iter().enumerate() {
        before.iter().for_each(|&before| edge_holds(&host.services[before], &host.services[position]));
    }
    if host.reason.is_some() {
        assert!(host.stopping_is_stopped, "there is a reason, but `stopping` is not stopped");
        assert!(
            !matches!(host.state, HostState::Starting | HostState::Started),
            "there is a reason, but the state is {:?}",
            host.state
        );
    }
    if host.state == HostState::Started {
        assert!(host.has_started);
    }
    if let Some(StopReason::Failed(name)) = &host.reason {
        assert_eq!(host.first_failure.as_deref(), Some(&**name), "the reason is the first failure");
    }
}

fn check_service(service: &ObservedService) {
    let ObservedService { name, state, .. } = service;
    assert!(!service.has_exited || service.was_started, "`{name}` exited and was never started");
    assert!(!service.is_joined || service.has_exited, "`{name}` was joined before its exit");
    assert!(!service.is_joined || service.thread_ended, "`{name}` was joined before its thread ended");
    use ServiceState::{Restarting, Running, Starting, Waiting};
    let is_stopping = !matches!(state, Waiting | Starting | Running | Restarting);
    assert!(!service.stop_requested || !service.was_started || is_stopping, "`{name}` has its stop request: {state}");
}

/// `later` depends on `earlier`.
fn edge_holds(earlier: &ObservedService, later: &ObservedService) {
    if later.was_started {
        assert!(earlier.start_resolved, "`{}` was started before `{}` was ready", later.name, earlier.name);
    }
    // A service that missed its start timeout receives its stop request at once, even if its failure is ignored and its
    // dependents have started.
    if earlier.stop_requested && !earlier.start_timed_out {
        let over = !later.was_started || later.has_exited || later.stop_timed_out;
        assert!(over, "`{}` received its stop request while `{}` was alive", earlier.name, later.name);
    }
}

/// Holds at the end of a host without hung services.
pub(super) fn check_end(stage: &Stage, result: &Result<Report, HostError>) {
    let handle = stage.host.handle();
    check_registry(handle.registry(), &stage.after);
    assert_eq!(handle.state(), HostState::Stopped);
    assert!(handle.stopping().stop_requested());
    let host = handle.registry().observe();
    assert_eq!((host.outstanding, host.unjoined), (0, 0));
    let report = match result {
        Ok(report) => report,
        Err(error) => error.report(),
    };
    let own: Vec<&ServiceReport> = report.services.iter().filter(|service| !service.name.contains('/')).collect();
    assert_eq!(own.iter().map(|service| &*service.name).collect::<Vec<_>>(), stage.names);
    own.into_iter().for_each(|service| outcome_is_true(service, &stage.journal.of(&service.name)));
    let names: BTreeSet<_> = stage.journal.all().into_iter().map(|(name, _)| name).collect();
    names.into_iter().for_each(|name| lives_are_whole(name, &stage.journal.of(name), stage.finishes.contains(&name)));
    edges_were_kept(stage, report);
    failures_are_in_the_result(stage, result, report);
}

/// A `start` that returned `Ok` has one `stop`, a service that was never started has none, and the value is dropped
/// last.
fn lives_are_whole(name: &str, steps: &[Step], finishes: bool) {
    let mut last = None;
    // A group creates new values for each start.
    let in_group = name.contains('/');
    for &step in steps.iter().filter(|step| !matches!(step, Step::StopRequested | Step::Failed(_))) {
        let may_follow = match step {
            Step::Start | Step::Dropped if in_group && last == Some(Step::Dropped) => true,
            Step::Start => matches!(last, None | Some(Step::Start | Step::Stop)),
            Step::Ready => last == Some(Step::Start),
            Step::Run => last == Some(Step::Ready),
            Step::Stop => matches!(last, Some(Step::Ready | Step::Run)),
            _ => matches!(last, None | Some(Step::Start | Step::Stop)),
        };
        assert!(may_follow, "`{name}`: {step:?} after {last:?}, in {steps:?}");
        last = Some(step);
    }
    let stop_requested = steps.iter().position(|&step| step == Step::StopRequested).unwrap_or(steps.len());
    assert!(
        in_group || finishes || !steps[stop_requested..].contains(&Step::Start),
        "`{name}` was started after its stop: {steps:?}"
    );
    // A service that was never started is dropped with the host, which still exists.
    assert!(matches!(last, None | Some(Step::Dropped)), "`{name}` was not dropped: {steps:?}");
}

fn outcome_is_true(service: &ServiceReport, steps: &[Step]) {
    let (outcome, name) = (&service.outcome, &service.name);
    let failed = steps.iter().any(|step| matches!(step, Step::Failed(_)));
    let agrees = match outcome {
        Outcome::NeverStarted => steps.is_empty(),
        Outcome::Completed => steps.contains(&Step::Run),
        Outcome::Stopped => steps.contains(&Step::Start),
        Outcome::NotRestarted(_) => failed && !matches!(ready_after_failure(steps), Some(true)),
        // Other failures are outside the service's own methods, or the service completed too often.
        Outcome::Failed(error) => {
            let beside = matches!(error.phase(), Phase::Callback | Phase::Drop);
            // A group that waits for a hung child counts as failed meanwhile.
            let of_child = error.source().is_some_and(|source| source.is::<ServiceError>());
            failed || beside || of_child || matches!(error.cause(), Cause::TimedOut(_)) || service.restarts > 0
        }
        _ => false,
    };
    assert!(agrees, "`{name}` is {outcome:?} after {steps:?}");
    assert_eq!(steps.is_empty(), matches!(outcome, Outcome::NeverStarted), "`{name}`");
}

/// Whether the service was ready after its last failure in `start` or `run`. Returns `None` if there was no such failure.
fn ready_after_failure(steps: &[Step]) -> Option<bool> {
    let failed = steps.iter().rposition(|step| matches!(step, Step::Failed(Phase::Start | Phase::Run)))?;
    Some(steps[failed..].contains(&Step::Ready))
}

/// A service sees its stop request only after all its dependents are gone.
fn edges_were_kept(stage: &Stage, report: &Report) {
    let all = stage.journal.all();
    let at = |name: &str, step: Step| all.iter().position(|noted| *noted == (name, step));
    let of = |position: usize| report.services.iter().find(|service| *service.name == *stage.names[position]).unwrap();
    for (position, before) in stage.after.iter().enumerate() {
        let later = stage.names[position];
        if of(position).stop_timed_out {
            continue;
        }
        // A service that missed its start timeout receives its stop request at once.
        let in_time = before.iter().filter(|&&before| !is_late(of(before)));
        for earlier in in_time.map(|&before| stage.names[before]) {
            if let (Some(stop_requested), Some(_)) = (at(earlier, Step::StopRequested), at(later, Step::Start)) {
                let gone = at(later, Step::Dropped).expect("dropped");
                assert!(gone < stop_requested, "`{earlier}` saw its stop before `{later}` was gone: {all:?}");
            }
            if let (Some(started), Some(ready)) = (at(later, Step::Start), at(earlier, Step::Ready)) {
                assert!(ready < started, "`{later}` started before `{earlier}` was ready: {all:?}");
            }
        }
    }
}

fn is_late(service: &ServiceReport) -> bool {
    matches!(&service.outcome, Outcome::Failed(error) if matches!(error.cause(), Cause::TimedOut(_)))
}

/// Every failure that is not ignored is in the result, once, and the first one is the reason.
fn failures_are_in_the_result(stage: &Stage, result: &Result<Report, HostError>, report: &Report) {
    let failures = result.as_ref().err().map(|error| error.failures()).unwrap_or_default();
    let texts: HashSet<_> = failures.iter().map(|error| error.to_string()).collect();
    assert_eq!(texts.len(), failures.len(), "the same failure twice: {failures:?}");
    let failures: Vec<_> = failures.iter().map(|error| (error.service(), error.phase())).collect();
    if let StopReason::Failed(name) = &report.reason {
        assert_eq!(failures.first().map(|first| first.0), Some(&**name), "the first cause comes first: {failures:?}");
    }
    let ignores = |name: &str| {
        // The failure of a child is the failure of its group.
        let Some(position) = stage.names.iter().position(|&other| other == name) else { return true };
        stage.host.handle().registry().observe().services[position].ignores_failure
    };
    for (name, step) in stage.journal.all() {
        if let Step::Failed(phase) = step {
            let kept = failures.contains(&(name, phase));
            assert!(kept || ignores(name) || stage.restarts, "`{name}` failed in its {phase}: {failures:?}");
        }
    }
}

/// The events are in the order of what happened: in each service, in the host, and between dependents and dependencies.
pub(super) fn check_events(stage: &Stage) {
    let events: Vec<_> = stage.events.try_iter().collect();
    let text = || events.iter().map(|event| format!("\n  {event}")).collect::<String>();
    let at = |name: Option<&str>, is: fn(&EventKind) -> bool| {
        events.iter().position(|event| event.service.as_deref() == name && is(&event.kind))
    };
    let count = |name: Option<&str>, is: fn(&EventKind) -> bool| {
        events.iter().filter(|event| event.service.as_deref() == name && is(&event.kind)).count()
    };
    let ended =
        |kind: &EventKind| matches!(kind, EventKind::Stopped | EventKind::NotRestarted(_) | EventKind::Completed);
    for (position, &name) in stage.names.iter().enumerate() {
        let name = Some(name);
        let launched = count(name, |kind| matches!(kind, EventKind::Starting)) > 0;
        assert_eq!(launched, count(name, |_| true) > 0, "{name:?} has events, but no `Starting`:{}", text());
        let failed = count(name, |kind| matches!(kind, EventKind::Failed(_)));
        assert_eq!(count(name, ended), usize::from(launched && failed == 0), "{name:?} ends once:{}", text());
        if let Some(end) = at(name, ended) {
            // A thread or a callback of the service may still be hung.
            let alive = |kind: &EventKind| !matches!(kind, EventKind::Hung(_));
            let last = events.iter().rposition(|event| event.service.as_deref() == name && alive(&event.kind));
            assert_eq!(Some(end), last, "{name:?} emits nothing after its end:{}", text());
        }
        let finishes = name.is_some_and(|name| stage.finishes.contains(&name));
        assert!(
            finishes || !restarts_after_stop_request(&events, name),
            "{name:?} was restarted after its stop request:{}",
            text()
        );
        for &before in &stage.after[position] {
            let started =
                at(Some(stage.names[before]), |kind| matches!(kind, EventKind::Started | EventKind::Failed(_)));
            if launched {
                let starting = at(name, |kind| matches!(kind, EventKind::Starting));
                assert!(started.is_some() && started < starting, "{name:?} must start after {before}:{}", text());
            }
        }
    }
    let started = at(None, |kind| matches!(kind, EventKind::HostStarted { .. }));
    let stopping = at(None, |kind| matches!(kind, EventKind::HostStopping { .. }));
    let stopped = at(None, |kind| matches!(kind, EventKind::HostStopped { .. }));
    assert!(count(None, |kind| matches!(kind, EventKind::HostStopping { .. })) <= 1, "{}", text());
    assert!(started.is_none() || stopping.is_none() || started < stopping, "{}", text());
    assert!(stopping.is_none() && stopped.is_none() || stopping < stopped, "{}", text());
}

/// Returns `true` if a service was restarted after its stop request. A first start may have been in progress.
fn restarts_after_stop_request(events: &[Event], name: Option<&str>) -> bool {
    let own = events.iter().filter(|event| event.service.as_deref() == name);
    let again = own.skip_while(|event| !matches!(event.kind, EventKind::Restarting { .. }));
    let stop_requested = again.skip_while(|event| !matches!(event.kind, EventKind::Stopping));
    stop_requested.into_iter().any(|event| matches!(event.kind, EventKind::Starting))
}
