//! Groups, which are services that contain a host, against the host that contains them.

use super::probe::{Act, Journal, Noted, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{Context, HostError, Outcome, Report, Restart, Service, ServiceState, StopReason, StopSource, group};
use std::time::Duration;

/// A group of `first`, and of `second`, which depends on `first`.
fn pair(journal: &Journal, first: fn() -> Probe, second: fn() -> Probe) -> impl Service + use<> {
    let journal = journal.clone();
    group(move |host| {
        host.add("first", Noted::new("g/first", &journal, first()));
        host.add("second", Noted::new("g/second", &journal, second()));
        Ok(())
    })
}

fn fails() -> Probe {
    Probe::new().run(Act::Fail)
}

/// The children of a group start and stop in order, as in any host.
fn children_in_order(stage: &Stage) {
    let all = stage.journal.all();
    let at = |name, step| all.iter().position(|noted| *noted == (name, step));
    if let (Some(stop_requested), Some(_)) = (at("g/first", Step::StopRequested), at("g/second", Step::Start)) {
        assert!(at("g/second", Step::Dropped).unwrap() < stop_requested, "{all:?}");
    }
}

#[test]
fn a_group_is_stopped_as_one_service_and_its_children_in_reverse() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        let children = pair(&stage.journal, Probe::new, Probe::new);
        stage.add("g", &["a"], children);
        stage.host.start().unwrap();
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap().services.len(), 4);
        stage.check(&result);
        children_in_order(&stage);
    });
}

#[test]
fn a_stop_request_while_a_group_starts_leaves_no_child_behind() {
    explore(|| {
        let mut stage = Stage::still();
        let children = pair(&stage.journal, Probe::new, Probe::new);
        stage.add("g", &[], children);
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        requester.join().unwrap();
        let failures = result.as_ref().err().map_or(0, |error| error.failures().len());
        assert_eq!(failures, 0, "{result:?}");
        stage.check(&result);
        children_in_order(&stage);
    });
}

#[test]
fn a_child_whose_start_waits_is_woken_by_the_stop_of_the_host() {
    explore(|| {
        let mut stage = Stage::still();
        let waits = || {
            Probe::new().start(Act::calling(|ctx: &Context| {
                ctx.wait();
                Ok(ctx.check()?)
            }))
        };
        let children = pair(&stage.journal, waits, Probe::new);
        stage.add("g", &[], children);
        let requester = stage.stop_requested_on_a_thread();
        let error = stage.host.start().unwrap_err();
        requester.join().unwrap();
        assert!(error.failures().is_empty(), "{error}");
        assert_eq!(stage.journal.count("g/second", Step::Start), 0);
        stage.check(&Err(error));
    });
}

#[test]
fn a_child_that_fails_fails_its_group_and_the_group_the_host() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        let children = pair(&stage.journal, fails, Probe::new);
        stage.add("g", &["a"], children);
        let started = stage.host.start();
        let result = started.and_then(|()| {
            stage.host.wait();
            stage.stop()
        });
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.failures().len(), error.failures()[0].service()), (1, "g"));
        assert_eq!(error.report().reason, StopReason::Failed("g".into()));
        stage.check(&result);
        children_in_order(&stage);
    });
}

#[test]
fn a_child_that_fails_while_the_host_stops_is_reported() {
    explore(|| {
        let mut stage = Stage::still();
        let late = || {
            Probe::new().run(Act::calling(|ctx: &Context| {
                ctx.wait();
                Err("woken by force".into())
            }))
        };
        let children = pair(&stage.journal, Probe::new, late);
        stage.add("g", &[], children);
        stage.host.start().unwrap();
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&result);
    });
}

#[test]
fn a_child_may_request_the_stop_of_the_outermost_host() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        let request_stop = || {
            Probe::new().run(Act::calling(|ctx: &Context| {
                ctx.host().request_stop();
                Ok(ctx.wait())
            }))
        };
        let children = pair(&stage.journal, request_stop, Probe::new);
        stage.add("g", &["a"], children);
        let result = match stage.host.start() {
            Ok(()) => {
                assert_eq!(stage.host.wait(), StopReason::Requested);
                stage.stop()
            }
            Err(error) => Err(error),
        };
        let report = result.as_ref().unwrap_or_else(|error| error.report());
        assert_eq!(report.reason, StopReason::Requested);
        stage.check(&result);
    });
}

#[test]
fn the_old_children_are_gone_before_the_new_ones_start() {
    explore(|| {
        let mut stage = Stage::running();
        stage.restarts = true;
        let children = pair(&stage.journal, fails, Probe::new);
        let backoff = Duration::from_secs(1);
        let restart = Restart::on_failure().backoff(backoff..=backoff).give_up_after(2).also_first_start();
        stage.add("g", &[], children).restart(restart);
        let requester = stage.stop_requested_on_a_thread();
        let started = stage.host.start();
        let result = started.and_then(|()| {
            stage.host.wait();
            stage.stop()
        });
        requester.join().unwrap();
        assert!(stage.journal.count("g", Step::Start) <= 3);
        let all = stage.journal.all();
        let mut alive = 0;
        for (name, step) in &all {
            match step {
                Step::Start if *name == "g/first" => {
                    assert_eq!(alive, 0, "{all:?}");
                    alive += 1;
                }
                Step::Start if *name == "g/second" => alive += 1,
                // A child that was never started is dropped too, by its own host.
                Step::Dropped if name.starts_with("g/") && alive > 0 => alive -= 1,
                _ => {}
            }
        }
        if remaining(&result) {
            let again = stage.stop();
            return stage.check(&again);
        }
        stage.check(&result);
    });
}

fn remaining(result: &Result<Report, HostError>) -> bool {
    let report = result.as_ref().unwrap_or_else(|error| error.report());
    report.services.iter().any(|service| matches!(service.outcome, Outcome::Hung(_)))
}

#[test]
fn a_group_with_a_hung_child_is_hung_until_the_child_ends() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        let (token, journal) = (gate.token(), stage.journal.clone());
        let children = group(move |host| {
            let token = token.clone();
            let unresponsive = Probe::new().run(Act::calling(move |_: &Context| Ok(token.wait())));
            host.add("first", Noted::new("g/first", &journal, unresponsive));
            Ok(())
        });
        stage.add("g", &[], children);
        stage.host.start().unwrap();
        let first = stage.host.stop(Duration::from_secs(10));
        assert!(remaining(&first), "{first:?}");
        let services = stage.host.handle().services();
        assert_eq!(services[0].state, ServiceState::Hung);
        gate.request_stop();
        let result = stage.stop();
        assert!(result.is_ok(), "{result:?}");
        stage.check(&result);
    });
}

#[test]
fn a_snapshot_shows_a_group_and_its_children_at_one_moment() {
    explore(|| {
        let mut stage = Stage::still();
        let children = pair(&stage.journal, Probe::new, Probe::new);
        stage.add("g", &[], children);
        let handle = stage.host.handle();
        let observer = spawn("observer", move || {
            for _ in 0..5 {
                let services = handle.services();
                let alive =
                    |state| matches!(state, ServiceState::Starting | ServiceState::Running | ServiceState::Stopping);
                let over = matches!(services[0].state, ServiceState::Stopped | ServiceState::Failed);
                assert!(!over || services.iter().all(|service| !alive(service.state)), "{services:?}");
                let runs = services[0].state == ServiceState::Running;
                assert!(!runs || services.iter().all(|service| service.state == ServiceState::Running), "{services:?}");
            }
        });
        let result = stage.start_and_stop();
        observer.join().unwrap();
        assert!(result.is_ok());
        stage.check(&result);
    });
}
