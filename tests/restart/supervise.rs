//! Guarantees 39, 41, 42, 44 and 45: restarts as the service sees them. (40: `first_start`.)

use super::observed::{fails, no_backoff, observed, panics};
use crate::support::{LIMIT, SECOND, next, waits};
use crossbeam_channel::{Receiver, unbounded};
use hosted::testing::ManualClock;
use hosted::{
    EventKind, Host, Outcome, Phase, Restart, Result, ServiceReport, ServiceState, StopReason, StopToken, worker,
};
use std::time::Duration;

/// Runs a host with one service until it stops on its own. Returns the number of runs and the report.
fn lived(restart: Restart, end: fn() -> Result) -> (usize, ServiceReport) {
    let (service, steps) = observed(move |step, _, _| if step == "run" { end() } else { Ok(()) });
    let mut host = Host::new();
    host.add("it", service).restart(restart.backoff(no_backoff()).give_up_after(2));
    let report = match host.run_until(&StopToken::never()) {
        Ok(report) => report,
        Err(error) => error.report().clone(),
    };
    let runs = steps.try_iter().filter(|&step| step == "run").count();
    (runs, report.services[0].clone())
}

fn ends_well() -> Result {
    Ok(())
}

fn failed(report: &ServiceReport) -> bool {
    matches!(&report.outcome, Outcome::Failed(error) if error.phase() == Phase::Run)
}

// 39
#[test]
fn never_restarts_no_service_after_a_failure_a_panic_or_a_completion() {
    for (end, ended_well) in [(fails as fn() -> Result, false), (panics, false), (ends_well, true)] {
        let (runs, report) = lived(Restart::never(), end);
        assert_eq!((runs, report.restarts), (1, 0));
        assert_eq!((failed(&report), matches!(report.outcome, Outcome::Completed)), (!ended_well, ended_well));
    }
}

// 39
#[test]
fn on_failure_restarts_after_an_error_and_a_panic_and_not_after_a_completion() {
    for end in [fails, panics] {
        let (runs, report) = lived(Restart::on_failure(), end);
        assert_eq!((runs, report.restarts, report.errors, failed(&report)), (3, 2, 3, true));
    }
    let (runs, report) = lived(Restart::on_failure(), ends_well);
    assert_eq!((runs, report.restarts, report.errors), (1, 0, 0));
    assert!(matches!(report.outcome, Outcome::Completed));
}

// 39
#[test]
fn always_restarts_after_a_completion_too() {
    for (end, errors) in [(fails as fn() -> Result, 3), (panics, 3), (ends_well, 1)] {
        let (runs, report) = lived(Restart::always(), end);
        assert_eq!((runs, report.restarts, report.errors, failed(&report)), (3, 2, errors, true));
    }
}

// 37, 41
#[test]
fn the_stop_of_the_old_run_returns_before_the_start_of_the_new_run() {
    let (go, gone) = unbounded();
    let (service, steps) = observed(move |step, n, ctx| match (step, n) {
        ("run", 1) => fails(),
        ("run", 2) => panics(),
        ("run", _) => Ok(ctx.sleep(Duration::MAX)?),
        ("stop", _) => Ok(gone.recv_timeout(LIMIT)?),
        _ => Ok(()),
    });
    let mut host = Host::new();
    host.add("it", service).restart(Restart::on_failure().backoff(no_backoff()));
    host.start().unwrap();
    for _ in 1..=2 {
        assert_eq!([next(&steps), next(&steps), next(&steps)], ["start", "run", "stop"]);
        assert_eq!(host.handle().services()[0].state, ServiceState::Restarting);
        assert!(steps.is_empty(), "the old run has not ended");
        go.send(()).unwrap();
    }
    assert_eq!([next(&steps), next(&steps)], ["start", "run"]);
    go.send(()).unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["stop"]);
}

// 42
#[test]
fn after_exactly_n_restarts_the_failure_is_final() {
    for n in [0, 1, 5] {
        let (sender, receiver) = unbounded();
        let service = worker(move |ctx| {
            sender.send(ctx.restarts())?;
            fails()
        });
        let mut host = Host::new();
        host.add("it", service).restart(Restart::on_failure().backoff(no_backoff()).give_up_after(n));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..=n).collect::<Vec<_>>());
        let report = error.report();
        assert_eq!(report.reason, StopReason::Failed("it".into()));
        assert_eq!((report.services[0].restarts, report.services[0].errors), (n, u64::from(n) + 1));
        assert_eq!((error.failures().len(), error.failures()[0].phase()), (1, Phase::Run));
    }
}

/// Returns how often a service that fails after runs of these lengths in seconds is restarted, with a limit of two in a
/// row.
fn restarts_after(runs: &'static [u32]) -> usize {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let events = host.events();
    let mut lengths = runs.iter().map(|&seconds| SECOND * seconds);
    let service = worker(move |ctx| {
        ctx.sleep(lengths.next().unwrap_or(Duration::MAX))?;
        fails()
    });
    let restart = Restart::on_failure().backoff(SECOND..=SECOND).give_up_after(2).stable_after(SECOND * 60);
    host.add("it", service).restart(restart);
    host.start().unwrap();
    let goes_on = |seconds: &&u32| {
        time.wait_for_sleepers(1);
        time.advance(SECOND * **seconds);
        let restarting = loop {
            match next(&events).kind {
                EventKind::Restarting { .. } => break true,
                EventKind::Failed(_) => break false,
                _ => {}
            }
        };
        if restarting {
            time.wait_for_sleepers(1);
            time.advance(SECOND);
        }
        restarting
    };
    runs.iter().take_while(goes_on).count()
}

// 42
#[test]
fn a_run_as_long_as_stable_after_resets_the_restart_count() {
    assert_eq!(restarts_after(&[1, 1, 1, 1]), 2);
    assert_eq!(restarts_after(&[1, 1, 59, 1]), 2);
    assert_eq!(restarts_after(&[1, 1, 60, 1, 1, 1]), 4);
    assert_eq!(restarts_after(&[60, 60, 60, 60, 60]), 5);
}

// 44
#[test]
fn a_stop_request_ends_a_backoff_at_once_and_the_service_is_not_called_again() {
    let time = ManualClock::new(); // stands still, so that the backoff lasts forever
    let mut host = Host::with_clock(time.clock());
    let (service, steps) = observed(|step, _, _| if step == "run" { fails() } else { Ok(()) });
    host.add("it", service).restart(Restart::on_failure());
    host.start().unwrap();
    time.wait_for_sleepers(1);
    assert_eq!(host.handle().services()[0].state, ServiceState::Restarting);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::NotRestarted(_)));
    assert_eq!((report.services[0].errors, report.services[0].restarts), (1, 0));
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start", "run", "stop"]);
}

// 44
#[test]
fn a_failure_after_the_stop_request_is_final() {
    let (service, steps) = observed(|step, _, ctx| {
        if step == "run" {
            ctx.wait();
            return fails();
        }
        Ok(())
    });
    let mut host = Host::new();
    host.add("it", service).restart(Restart::always().backoff(no_backoff()));
    host.start().unwrap();
    let error = host.stop(LIMIT).unwrap_err();
    assert_eq!((error.failures().len(), error.report().services[0].restarts), (1, 0));
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start", "run", "stop"]);
}

// 45
#[test]
fn a_restart_of_one_service_affects_no_other_service() {
    let mut host = Host::new();
    let (before, before_steps) = observed(|step, _, ctx| if step == "run" { waits(ctx) } else { Ok(()) });
    let (after, after_steps) = observed(|step, _, ctx| if step == "run" { waits(ctx) } else { Ok(()) });
    let (go, gone) = unbounded();
    let (restarting, steps) = observed(move |step, n, ctx| match (step, n) {
        ("run", 4) => waits(ctx),
        ("run", _) => gone.recv_timeout(LIMIT).map_err(Into::into).and_then(|()| fails()),
        _ => Ok(()),
    });
    host.add("before", before);
    host.add("it", restarting).restart(Restart::on_failure().backoff(no_backoff()));
    host.add("after", after);
    host.start().unwrap();
    let calm = |steps: &Receiver<_>| [next(steps), next(steps)] == ["start", "run"];
    assert!(calm(&before_steps) && calm(&after_steps) && calm(&steps));
    let (old, handle) = (host.handle().services(), host.handle());
    for _ in 1..=3 {
        go.send(()).unwrap();
        assert_eq!([next(&steps), next(&steps), next(&steps)], ["stop", "start", "run"]);
        let new = handle.services();
        for place in [0, 2] {
            assert_eq!((new[place].state, new[place].since), (ServiceState::Running, old[place].since));
        }
    }
    assert!(!handle.stopping().stop_requested());
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.iter().map(|service| service.restarts).collect::<Vec<_>>(), [0, 3, 0]);
    assert_eq!((next(&before_steps), next(&after_steps)), ("stop", "stop"));
    assert!(before_steps.is_empty() && after_steps.is_empty());
}
