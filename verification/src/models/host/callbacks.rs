//! Stop callbacks of services, which run on other threads, against the shutdown.

use super::probe::{Act, Probe};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::{Context, Phase, StopSource};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

#[test]
fn a_callback_and_the_end_of_its_service_are_both_waited_for() {
    explore(|| {
        let mut stage = Stage::still();
        let called = Arc::new(AtomicUsize::new(0));
        let count = called.clone();
        stage.add("a", &[], Probe::new());
        let runs = move |ctx: &Context| {
            let count = count.clone();
            let guard = ctx.on_stop(move || _ = count.fetch_add(1, Ordering::Relaxed));
            ctx.wait();
            // Whether it was unregistered or still runs: only `drop` waits for it.
            _ = guard.unregister();
            Ok(())
        };
        stage.add("b", &["a"], Probe::new().run(Act::calling(runs)));
        stage.host.start().unwrap();
        let watcher = stage.watched(3);
        let result = stage.stop();
        watcher.join().unwrap();
        stage.check(&result);
        assert!(called.load(Ordering::Relaxed) <= 1);
    });
}

#[test]
fn a_callback_wakes_a_service_that_waits_for_it_alone() {
    explore(|| {
        let mut stage = Stage::still();
        let runs = |ctx: &Context| {
            let (woken, token) = (StopSource::new(), ctx.stop_token().clone());
            let sleeper = woken.token();
            let _guard = ctx.on_stop(move || {
                assert!(token.stop_requested());
                woken.request_stop();
            });
            Ok(sleeper.wait())
        };
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::calling(runs)));
        stage.add("c", &["a"], Probe::new().run(Act::calling(runs)));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok(), "{result:?}");
        stage.check(&result);
    });
}

#[test]
fn a_callback_that_blocks_delays_no_other_service() {
    explore(|| {
        let mut stage = Stage::still();
        let gate = StopSource::new();
        let blocks = || {
            let closed = gate.token();
            Act::calling(move |ctx: &Context| {
                let closed = closed.clone();
                let _guard = ctx.on_stop(move || closed.wait());
                Ok(ctx.wait())
            })
        };
        let (first, last) = (blocks(), blocks());
        // The gate opens at the stop request of this service. If the callbacks of others held it up, the gate would
        // stay closed.
        let opens = move |ctx: &Context| {
            ctx.wait();
            _ = gate.request_stop();
            Ok(())
        };
        stage.add("a", &[], Probe::new().run(first));
        stage.add("b", &[], Probe::new().run(Act::calling(opens)));
        stage.add("c", &[], Probe::new().run(last));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn a_callback_that_panics_is_a_failure_of_its_service_and_prevents_no_other() {
    explore(|| {
        let mut stage = Stage::still();
        let (woken, guards) = (StopSource::new(), Arc::new(Mutex::new(Vec::new())));
        let (sleeper, kept) = (woken.token(), guards.clone());
        let registers = move |ctx: &Context| {
            let woken = woken.clone();
            let first = ctx.on_stop(|| resume_unwind(Box::new("the first")));
            let second = ctx.on_stop(move || _ = woken.request_stop());
            kept.lock().unwrap().extend([first, second]);
            Ok(())
        };
        let sleeps = move |_: &Context| Ok(sleeper.wait());
        stage.add("a", &[], Probe::new().start(Act::calling(registers)).run(Act::calling(sleeps)));
        stage.host.start().unwrap();
        let result = stage.stop();
        let error = result.as_ref().unwrap_err();
        assert_eq!((error.failures().len(), error.failures()[0].phase()), (1, Phase::Callback));
        stage.check(&result);
    });
}

#[test]
fn the_host_waits_for_a_callback_that_outlives_its_service() {
    explore(|| {
        let mut stage = Stage::still();
        let done = Arc::new(AtomicUsize::new(0));
        let ends = done.clone();
        let runs = move |ctx: &Context| {
            let ends = ends.clone();
            let held = ctx.clone();
            let guard = ctx.on_stop(move || {
                _ = held.host().services();
                ends.fetch_add(1, Ordering::Relaxed);
            });
            ctx.wait();
            let never_ran = guard.unregister(); // does not wait for a running callback
            Ok(if never_ran {
                Err("a callback that was registered before the stop never ran")?
            })
        };
        stage.add("a", &[], Probe::new().run(Act::calling(runs)));
        stage.host.start().unwrap();
        let result = stage.stop();
        let failed = result.as_ref().err().map_or(0, |error| error.failures().len());
        // Either it was unregistered in time, or it has returned by now.
        assert_eq!(done.load(Ordering::Relaxed) + failed, 1);
        stage.check(&result);
    });
}
