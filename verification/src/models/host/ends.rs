//! Services that complete or fail on their own, against stop requests and shutdowns.

use super::probe::{Act, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::sync::Arc;
use crate::{OnCompletion, OnFailure, Outcome, StopReason, StopSource};
use std::sync::Mutex;
use std::time::Duration;

#[test]
fn completion_and_a_request_end_one_wait_with_one_reason() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Return));
        stage.add("b", &["a"], Probe::new().run(Act::Return));
        stage.host.start().unwrap();
        let requester = stage.stop_requested_on_a_thread();
        let reason = stage.host.wait();
        assert!(matches!(reason, StopReason::Requested | StopReason::AllCompleted), "{reason:?}");
        let result = stage.stop();
        requester.join().unwrap();
        assert_eq!(result.as_ref().unwrap().reason, reason);
        stage.check(&result);
    });
}

#[test]
fn with_the_last_service_ends_the_wait() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Return));
        stage.add("b", &["a"], Probe::new().run(Act::Fail)).on_failure(OnFailure::Ignore);
        stage.add("c", &[], Probe::new().start(Act::Fail)).on_failure(OnFailure::Ignore);
        stage.host.start().unwrap();
        assert_eq!(stage.host.wait(), StopReason::AllCompleted);
        let result = stage.stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn a_host_without_services_ends_when_it_has_started() {
    explore(|| {
        let mut stage = Stage::still();
        let stopping = stage.host.handle().stopping();
        let waiter = spawn("waiter", move || stopping.wait());
        stage.host.start().unwrap();
        assert_eq!(stage.host.wait(), StopReason::AllCompleted);
        waiter.join().unwrap();
        let result = stage.stop();
        stage.check(&result);
    });
}

#[test]
fn a_completion_that_stops_the_host_is_the_reason() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Return)).on_completion(OnCompletion::StopHost);
        stage.add("c", &["a"], Probe::new());
        let started = stage.host.start();
        let result = started.and_then(|()| {
            assert_eq!(stage.host.wait(), StopReason::Completed("b".into()));
            stage.stop()
        });
        let report = result.as_ref().unwrap_or_else(|error| error.report());
        assert_eq!(report.reason, StopReason::Completed("b".into()));
        stage.check(&result);
    });
}

#[test]
fn a_service_that_exits_during_a_shutdown_is_stopped_once_and_in_order() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Return));
        stage.add("c", &["b"], Probe::new());
        stage.add("d", &["b"], Probe::new().run(Act::Return));
        stage.host.start().unwrap();
        let watcher = stage.watched(4);
        let result = stage.stop();
        watcher.join().unwrap();
        assert!(matches!(result.as_ref().unwrap().services[3].outcome, Outcome::Completed | Outcome::Stopped));
        stage.check(&result);
    });
}

#[test]
fn every_waiter_for_the_end_of_the_run_is_woken() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Return));
        let stopping = stage.host.handle().stopping();
        let (called, calls) = (StopSource::new(), Arc::new(Mutex::new(0)));
        let (calling, count) = (called.clone(), calls.clone());
        let _guard = stopping.on_stop(move || {
            *count.lock().unwrap() += 1;
            calling.request_stop();
        });
        let token = stopping.clone();
        let waiter = spawn("waiter", move || token.wait());
        stage.host.start().unwrap();
        let requester = stage.stop_requested_on_a_thread();
        waiter.join().unwrap();
        stage.host.wait();
        called.token().wait();
        let result = stage.stop();
        requester.join().unwrap();
        stage.check(&result);
        assert_eq!(*calls.lock().unwrap(), 1);
    });
}

#[test]
fn a_service_may_request_the_stop_of_its_own_host() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        let request_stop = |ctx: &crate::Context| {
            ctx.host().request_stop();
            Ok(ctx.wait())
        };
        stage.add("b", &["a"], Probe::new().run(Act::calling(request_stop)));
        stage.add("c", &["b"], Probe::new());
        let result = stage.start_and_stop();
        let report = result.as_ref().unwrap_or_else(|error| error.report());
        assert_eq!((&report.reason, stage.journal.count("b", Step::Stop)), (&StopReason::Requested, 1));
        stage.check(&result);
    });
}

#[test]
fn the_callbacks_of_stopping_are_called_whatever_the_cause() {
    explore(|| {
        let causes = [
            Probe::new().run(Act::Return),
            Probe::new().run(Act::Fail),
            Probe::new().start(Act::Fail),
            Probe::new().start(Act::Wait),
        ];
        let pick = shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 0..causes.len());
        let mut stage = if pick == 3 { Stage::running() } else { Stage::still() };
        let called = StopSource::new();
        let calling = called.clone();
        let _guard = stage.host.handle().stopping().on_stop(move || _ = calling.request_stop());
        let cause = causes.into_iter().nth(pick).unwrap();
        let limit = Duration::from_secs(if pick == 3 { 1 } else { 100 });
        stage.add("a", &[], cause).on_completion(OnCompletion::StopHost).start_timeout(limit);
        let started = stage.host.start();
        called.token().wait();
        let result = started.and_then(|()| stage.stop());
        assert!(pick == 0 || result.is_err());
        if pick != 3 {
            stage.check(&result);
        }
    });
}
