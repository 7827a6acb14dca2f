//! Failed starts.

use super::probe::{Act, Probe, Step};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::{OnFailure, Phase, StopReason};

#[test]
fn a_failed_start_is_rolled_back_and_its_dependents_never_start() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().start(Act::Fail));
        stage.add("c", &["a"], Probe::new());
        stage.add("d", &["b"], Probe::new());
        let watcher = stage.watched(2);
        let result = stage.start_and_stop();
        watcher.join().unwrap();
        assert_eq!(stage.journal.of("d"), []);
        assert_eq!(stage.journal.count("b", Step::Stop), 0);
        assert_eq!(result.as_ref().unwrap_err().report().reason, StopReason::Failed("b".into()));
        stage.check(&result);
    });
}

#[test]
fn the_first_of_two_failed_starts_is_the_reason_and_both_are_reported() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().start(Act::Panic));
        stage.add("b", &[], Probe::new().start(Act::Fail));
        stage.add("c", &["a"], Probe::new());
        let result = stage.start_and_stop();
        assert_eq!(stage.journal.of("c"), []);
        assert!(!result.as_ref().unwrap_err().failures().is_empty());
        stage.check(&result);
    });
}

#[test]
fn a_start_that_fails_and_a_request_to_stop_are_both_in_the_result() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().start(Act::Fail));
        let requester = stage.stop_requested_on_a_thread();
        let error = stage.host.start().unwrap_err();
        requester.join().unwrap();
        let failed = stage.journal.count("b", Step::Failed(Phase::Start));
        assert_eq!(error.failures().len(), failed);
        stage.check(&Err(error));
    });
}

#[test]
fn a_run_that_fails_while_a_later_service_starts_ends_the_start_or_is_found_after_it() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Fail));
        stage.add("b", &["a"], Probe::new());
        stage.add("c", &["b"], Probe::new());
        let watcher = stage.watched(2);
        let started = stage.host.start();
        let has_started = stage.host.handle().registry().observe().has_started;
        assert_eq!(has_started, started.is_ok(), "only a failure before the host has started is an error of `start`");
        let result = match started {
            Ok(()) => {
                assert_eq!(stage.journal.count("c", Step::Ready), 1);
                assert_eq!(stage.host.wait(), StopReason::Failed("a".into()));
                stage.stop()
            }
            Err(error) => Err(error),
        };
        watcher.join().unwrap();
        assert_eq!(result.as_ref().unwrap_err().report().reason, StopReason::Failed("a".into()));
        stage.check(&result);
    });
}

#[test]
fn dependents_of_an_ignored_failed_start_start_without_it() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().start(Act::Fail)).on_failure(OnFailure::Ignore);
        stage.add("b", &["a"], Probe::new());
        stage.add("c", &[], Probe::new().start(Act::Panic)).on_failure(OnFailure::Ignore);
        stage.host.start().unwrap();
        assert_eq!(stage.journal.count("b", Step::Ready), 1);
        let result = stage.stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn a_start_that_fails_after_the_request_is_still_a_failure() {
    explore(|| {
        let mut stage = Stage::still();
        let fails = |ctx: &crate::Context| {
            ctx.wait();
            Err("woken by force".into())
        };
        stage.add("a", &[], Probe::new().start(Act::calling(fails)));
        let requester = stage.stop_requested_on_a_thread();
        let error = stage.host.start().unwrap_err();
        requester.join().unwrap();
        assert_eq!(
            (error.failures().len(), &error.report().reason),
            (stage.journal.of("a").len().min(1), &StopReason::Requested)
        );
        stage.check(&Err(error));
    });
}
