//! The drain before a shutdown, against other reasons to stop.

use super::probe::{Act, Probe};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::report::EventKind;
use crate::{Context, HostState, StopReason};
use std::time::Duration;

const AN_HOUR: Duration = Duration::from_secs(3_600);

/// The host drained at most once, before it stopped, and no service was stopped before that.
fn drained_before_the_stop(stage: &Stage) -> bool {
    let (mut drains, mut stopping) = (0, false);
    for event in stage.events.try_iter() {
        match event.kind {
            EventKind::Draining { .. } => {
                assert!(!stopping, "the shutdown has begun");
                drains += 1;
            }
            EventKind::HostStopping { .. } => stopping = true,
            EventKind::Stopped => assert!(stopping, "a service was stopped during the drain"),
            _ => {}
        }
    }
    assert!(drains <= 1);
    drains == 1
}

#[test]
fn a_second_request_ends_the_drain_whenever_it_comes() {
    explore(|| {
        let mut stage = Stage::still();
        stage.host.drain(AN_HOUR);
        stage.add("a", &[], Probe::new());
        stage.host.start().unwrap();
        // The first of the three that request the stop begins the drain, if the owner is in time. The hour never passes, so
        // without the end by the second request the stop would never begin.
        let requesters = [stage.stop_requested_on_a_thread(), stage.stop_requested_on_a_thread()];
        let result = stage.stop();
        requesters.into_iter().for_each(|requester| requester.join().unwrap());
        assert_eq!(result.as_ref().unwrap().reason, StopReason::Requested);
        drained_before_the_stop(&stage);
        super::laws::check_end(&stage, &result);
    });
}

#[test]
fn a_failure_ends_the_drain_or_leaves_none() {
    explore(|| {
        let mut stage = Stage::still();
        stage.host.drain(AN_HOUR);
        stage.add("a", &[], Probe::new());
        stage.add("b", &[], Probe::new().run(Act::Fail));
        if stage.host.start().is_ok() {
            let handle = stage.host.handle();
            let result = stage.stop();
            assert!(result.is_err() && !handle.is_ready());
            drained_before_the_stop(&stage);
            super::laws::check_end(&stage, &result);
        }
    });
}

#[test]
fn the_exit_of_the_last_service_ends_the_drain() {
    explore(|| {
        let mut stage = Stage::still();
        stage.host.drain(AN_HOUR);
        for name in ["a", "b"] {
            stage.add(name, &[], Probe::new().run(Act::Return));
        }
        let result = stage.start_and_stop();
        assert!(result.is_ok());
        drained_before_the_stop(&stage);
        super::laws::check_end(&stage, &result);
    });
}

#[test]
fn a_host_is_unready_from_the_request_on_and_drains_until_the_time_is_up() {
    explore(|| {
        let mut stage = Stage::running();
        stage.host.drain(AN_HOUR);
        let handle = stage.host.handle();
        let stops = move |ctx: &Context| {
            ctx.wait();
            assert!(!ctx.host().is_ready() && ctx.host().state() == HostState::Stopping);
            Ok(())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(stops)));
        stage.host.start().unwrap();
        assert!(handle.is_ready());
        handle.request_stop();
        assert!(!handle.is_ready() && handle.has_started());
        let result = stage.stop(); // nobody else requests it: the time passes
        assert!(result.is_ok());
        assert!(drained_before_the_stop(&stage));
    });
}
