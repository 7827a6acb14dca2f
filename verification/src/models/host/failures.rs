//! Failures of a running host: the first is the reason, and none is lost.

use super::probe::{Act, Probe};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::{Context, OnFailure, Outcome, Phase, StopReason, StopSource, Stopped};
use std::panic::resume_unwind;

#[test]
fn the_first_of_two_failures_is_the_reason_and_both_are_reported() {
    explore(|| {
        let mut stage = Stage::still();
        let gate = StopSource::new();
        let (of_a, of_b) = (gate.token(), gate.token());
        let fails = move |_: &Context| {
            of_a.wait();
            Err("it fails".into())
        };
        let panics = move |_: &Context| {
            of_b.wait();
            resume_unwind(Box::new("it panics"))
        };
        stage.add("a", &[], Probe::new().run(Act::calling(fails)));
        stage.add("b", &[], Probe::new().run(Act::calling(panics)));
        stage.host.start().unwrap();
        let watcher = stage.watched(3);
        gate.request_stop();
        let reason = stage.host.wait();
        let result = stage.stop();
        watcher.join().unwrap();
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.failures().len(), 2, "{error}");
        assert_eq!(error.report().reason, reason);
        stage.check(&result);
    });
}

#[test]
fn a_failure_and_a_request_are_both_in_the_result_whichever_is_first() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Fail));
        stage.add("b", &["a"], Probe::new());
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        requester.join().unwrap();
        stage.check(&result);
    });
}

#[test]
fn a_failing_stop_prevents_no_other_stop() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().stop(Act::Fail));
        stage.add("b", &["a"], Probe::new().stop(Act::Panic));
        stage.add("c", &["b"], Probe::new());
        stage.host.start().unwrap();
        let result = stage.stop();
        let phases: Vec<_> = result.as_ref().unwrap_err().failures().iter().map(|error| error.phase()).collect();
        assert_eq!(phases, [Phase::Stop, Phase::Stop]);
        stage.check(&result);
    });
}

#[test]
fn a_failed_run_and_its_failed_stop_are_both_reported() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Panic).stop(Act::Fail));
        stage.add("b", &[], Probe::new());
        let result = stage.start_and_stop();
        assert_eq!(result.as_ref().unwrap_err().failures().len(), 2);
        stage.check(&result);
    });
}

#[test]
fn an_ignored_failure_is_only_in_the_report() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Fail)).on_failure(OnFailure::Ignore);
        stage.host.start().unwrap();
        let requester = stage.stop_requested_on_a_thread();
        assert_eq!(stage.host.wait(), StopReason::Requested);
        let result = stage.stop();
        requester.join().unwrap();
        assert!(matches!(result.as_ref().unwrap().services[1].outcome, Outcome::Failed(_)));
        stage.check(&result);
    });
}

#[test]
fn stopped_of_another_token_is_a_failure() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::calling(|_: &Context| Err(Stopped.into()))));
        stage.host.start().unwrap();
        assert_eq!(stage.host.wait(), StopReason::Failed("b".into()));
        let result = stage.stop();
        stage.check(&result);
    });
}

struct PanicsInItsDrop;

impl crate::Service for PanicsInItsDrop {}

impl Drop for PanicsInItsDrop {
    fn drop(&mut self) {
        resume_unwind(Box::new("a panic in a drop"));
    }
}

#[test]
fn a_panic_in_the_drop_of_a_service_is_a_failure_before_its_exit() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], PanicsInItsDrop);
        stage.host.start().unwrap();
        let result = stage.stop();
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.failures().len(), error.failures()[0].phase()), (1, Phase::Drop));
        stage.check(&result);
    });
}
