//! Services that end by themselves, against requests and stops.

use super::explore::explore;
use super::probe::{Act, Probe, Step};
use super::stage::{Stage, spawn};
use crate::sync::Arc;
use crate::{OnCompletion, OnFailure, Outcome, StopReason};
use std::sync::Mutex;

#[test]
fn the_completion_of_all_and_a_request_end_one_wait_with_one_reason() {
    explore("all complete, against a request", || {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Return));
        stage.add("b", &["a"], Probe::new().run(Act::Return));
        stage.host.start().unwrap();
        let requester = stage.stop_requested_elsewhere();
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
    explore("all complete, or fail and are ignored", || {
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
fn a_completion_that_stops_the_host_is_the_reason() {
    explore("a completion that stops the host", || {
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
fn a_service_that_ends_while_the_host_stops_is_stopped_once_and_its_edges_hold() {
    explore("an end against the stop", || {
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
    explore("the callbacks and waiters of `stopping`", || {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Return));
        let stopping = stage.host.handle().stopping();
        let called = Arc::new(Mutex::new(0));
        let count = called.clone();
        let _guard = stopping.on_stop(move || *count.lock().unwrap() += 1);
        let token = stopping.clone();
        let waiter = spawn("waiter", move || token.wait());
        stage.host.start().unwrap();
        let requester = stage.stop_requested_elsewhere();
        waiter.join().unwrap();
        stage.host.wait();
        let result = stage.stop();
        requester.join().unwrap();
        drop(_guard); // which waits for the callback, where another thread runs it
        stage.check(&result);
        let count = *called.lock().unwrap();
        assert!(count <= 1, "called {count} times");
    });
}

#[test]
fn a_service_may_ask_for_the_stop_of_its_own_host() {
    explore("a service that asks for the stop", || {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        let asks = |ctx: &crate::Context| {
            ctx.host().request_stop();
            Ok(ctx.wait())
        };
        stage.add("b", &["a"], Probe::new().run(Act::calling(asks)));
        stage.add("c", &["b"], Probe::new());
        let result = stage.start_and_stop();
        let report = result.as_ref().unwrap_or_else(|error| error.report());
        assert_eq!((&report.reason, stage.journal.count("b", Step::Stop)), (&StopReason::Requested, 1));
        stage.check(&result);
    });
}
