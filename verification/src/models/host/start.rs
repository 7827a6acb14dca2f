//! The start against stop requests.

use super::probe::{Act, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{HostState, ServiceState, StopReason, StopSource, Stopped};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn a_stop_request_during_an_ordered_start_stops_only_started_services() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        stage.add("c", &["a", "b"], Probe::new());
        let (handle, launched) = (stage.host.handle(), Arc::new(Mutex::new(Vec::new())));
        let known = launched.clone();
        let requester = spawn("requester", move || {
            handle.request_stop();
            let now = handle.registry().observe().services.iter().map(|service| service.was_started).collect();
            *known.lock().unwrap() = now;
        });
        let watcher = stage.watched(3);
        let result = stage.start_and_stop();
        requester.join().unwrap();
        watcher.join().unwrap();
        stage.check(&result);
        // After the request nothing more starts.
        let started: Vec<_> = stage.names.iter().map(|name| !stage.journal.of(name).is_empty()).collect();
        assert_eq!(*launched.lock().unwrap(), started);
        let report = result.unwrap_or_else(|error| {
            assert!(error.failures().is_empty(), "{error}");
            error.report().clone()
        });
        assert_eq!(report.reason, StopReason::Requested);
    });
}

#[test]
fn a_stop_request_during_a_parallel_start_stops_only_started_services() {
    explore(|| {
        let mut stage = Stage::diamond();
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        requester.join().unwrap();
        stage.check(&result);
    });
}

#[test]
fn a_start_that_waits_for_its_stop_is_woken_by_a_request_and_is_a_clean_end() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        let starts = |ctx: &crate::Context| {
            ctx.wait();
            Ok(ctx.check()?)
        };
        stage.add("b", &["a"], Probe::new().start(Act::calling(starts)));
        stage.add("c", &["b"], Probe::new());
        let requester = stage.stop_requested_on_a_thread();
        let error = stage.host.start().unwrap_err();
        requester.join().unwrap();
        assert!(error.failures().is_empty() && error.report().reason == StopReason::Requested, "{error}");
        assert_eq!((stage.journal.count("b", Step::Ready), stage.journal.of("c")), (0, vec![]));
        stage.check(&Err(error));
    });
}

#[test]
fn run_until_returns_whenever_its_token_is_stopped() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        let stop = StopSource::new();
        let token = stop.token();
        let requester = spawn("requester", move || _ = stop.request_stop());
        let result = stage.host.run_until(&token);
        requester.join().unwrap();
        assert_eq!(result.as_ref().unwrap().reason, StopReason::Requested);
        stage.check(&result);
    });
}

#[test]
fn a_wait_for_the_start_ends_with_the_start_or_the_stop() {
    explore(|| {
        let mut stage = Stage::still();
        let started = Arc::new(AtomicUsize::new(0));
        let noted = started.clone();
        let waits = move |ctx: &crate::Context| {
            // The wait itself is crossbeam's. This check is equivalent, and must not block.
            let latch = ctx.host().started();
            StopSource::linked([ctx.stop_token(), &latch]).token().wait();
            match ctx.wait_until_started() {
                Ok(()) => assert!(latch.stop_requested()),
                Err(Stopped) => assert!(ctx.stop_requested()),
            }
            noted.fetch_add(1, Ordering::Relaxed);
            Ok(ctx.wait())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(waits)));
        stage.add("b", &["a"], Probe::new());
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        requester.join().unwrap();
        stage.check(&result);
        assert_eq!(
            started.load(Ordering::Relaxed),
            stage.journal.count("a", Step::Run),
            "the waiter panicked or was not woken"
        );
    });
}

#[test]
fn a_started_host_is_started_for_every_thread_at_once() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add_waiting(&["a", "b"]);
        let handle = stage.host.handle();
        let observer = spawn("observer", move || {
            let state = handle.state();
            let services = handle.services();
            if state == HostState::Started {
                assert!(services.iter().all(|service| service.state != ServiceState::Starting), "{services:?}");
                assert!(handle.started().stop_requested());
            }
        });
        stage.host.start().unwrap();
        assert!(stage.host.handle().services().iter().all(|service| service.state == ServiceState::Running));
        observer.join().unwrap();
        let result = stage.stop();
        stage.check(&result);
    });
}
