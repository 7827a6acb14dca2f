//! Start timeouts against starts that return, with time that runs.

use super::probe::{Act, Probe, Step};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::{Cause, OnFailure, Outcome, StopSource};
use std::time::Duration;

const LIMIT: Duration = Duration::from_millis(100);

#[test]
fn a_start_is_in_time_and_runs_or_is_late_and_is_stopped_by_its_own_thread() {
    explore(|| {
        let mut stage = Stage::running();
        stage.add("a", &[], Probe::new());
        let slow = |ctx: &crate::Context| {
            _ = ctx.sleep(LIMIT);
            Ok(())
        };
        stage.add("b", &["a"], Probe::new().start(Act::calling(slow))).start_timeout(LIMIT);
        stage.add("c", &["b"], Probe::new());
        let watcher = stage.watched(2);
        let started = stage.host.start();
        let in_time = started.is_ok();
        let result = started.and_then(|()| stage.stop());
        watcher.join().unwrap();
        assert_eq!(stage.journal.count("b", Step::Run), usize::from(in_time));
        if let Err(error) = &result {
            assert!(
                matches!(error.failures()[0].cause(), Cause::TimedOut(_)) && error.failures().len() == 1,
                "{error}"
            );
            assert_eq!(stage.journal.of("c"), []);
        }
        check_or_expect_hung(&mut stage, result);
    });
}

#[test]
fn dependents_of_an_ignored_late_start_start_and_the_late_service_never_runs() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        let token = gate.token();
        let unresponsive = move |_: &crate::Context| Ok(token.wait());
        stage
            .add("a", &[], Probe::new().start(Act::calling(unresponsive)))
            .start_timeout(LIMIT)
            .on_failure(OnFailure::Ignore);
        stage.add("b", &["a"], Probe::new());
        stage.host.start().unwrap();
        assert_eq!((stage.journal.count("b", Step::Ready), stage.journal.count("a", Step::Ready)), (1, 0));
        gate.request_stop();
        let result = stage.stop();
        assert!(result.is_ok());
        assert_eq!((stage.journal.count("a", Step::Run), stage.journal.count("a", Step::Stop)), (0, 1));
        stage.check(&result);
    });
}

#[test]
fn after_the_start_timeout_of_the_host_nothing_becomes_ready() {
    explore(|| {
        let mut stage = Stage::running();
        stage.host.start_timeout(LIMIT);
        stage.add("a", &[], Probe::new()).on_failure(OnFailure::Ignore);
        stage.add("b", &[], Probe::new());
        stage.add("c", &["a", "b"], Probe::new());
        let result = stage.host.start().and_then(|()| stage.stop());
        if let Err(error) = &result {
            assert!(matches!(error.failures()[0].cause(), Cause::TimedOut(_)), "{error}");
        }
        check_or_expect_hung(&mut stage, result);
    });
}

#[test]
fn the_start_timeout_of_the_host_applies_to_ignored_services() {
    explore(|| {
        let mut stage = Stage::running();
        stage.host.start_timeout(LIMIT);
        let slow = |ctx: &crate::Context| {
            _ = ctx.sleep(LIMIT);
            Ok(())
        };
        stage.add("a", &[], Probe::new().start(Act::calling(slow))).on_failure(OnFailure::Ignore);
        let started = stage.host.start();
        let in_time = started.is_ok();
        let result = started.and_then(|()| stage.stop());
        assert_eq!((stage.journal.count("a", Step::Run), result.is_ok()), (usize::from(in_time), in_time));
        check_or_expect_hung(&mut stage, result);
    });
}

#[test]
fn a_late_service_receives_its_stop_request_at_once() {
    explore(|| {
        let mut stage = Stage::running();
        let over = StopSource::new();
        let token = over.token();
        let waits = move |ctx: &crate::Context| {
            ctx.wait();
            over.request_stop();
            Ok(ctx.check()?)
        };
        let late = Probe::new().start(Act::calling(waits));
        stage.add("a", &[], late).start_timeout(LIMIT).on_failure(OnFailure::Ignore);
        stage.add("b", &["a"], Probe::new());
        stage.host.start().unwrap();
        token.wait(); // not stopped by the host
        let result = stage.stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

/// A rollback has a deadline too, which may expire. Then another stop finds the true outcome.
fn check_or_expect_hung(stage: &mut Stage, result: Result<crate::Report, crate::HostError>) {
    let hung = |error: &crate::HostError| {
        error.report().services.iter().any(|service| matches!(service.outcome, Outcome::Hung(_)))
    };
    match result {
        Err(error) if hung(&error) => {
            let result = stage.stop();
            stage.check(&result);
        }
        result => stage.check(&result),
    }
}
