//! Observers of a host while it starts, runs and stops.

use super::probe::{Act, Probe};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{Context, HostHandle, ServiceState, ServiceStatus, StopSource};

/// `services[1]` depends on `services[0]`.
fn in_order(services: &[ServiceStatus]) {
    let (earlier, later) = (services[0].state, services[1].state);
    let unready = matches!(earlier, ServiceState::Waiting | ServiceState::Starting);
    assert!(!unready || matches!(later, ServiceState::Waiting), "{earlier} with {later}");
    let over = matches!(earlier, ServiceState::Stopping | ServiceState::Stopped);
    let alive = matches!(
        later,
        ServiceState::Starting | ServiceState::Running | ServiceState::Restarting | ServiceState::Stopping
    );
    assert!(!over || !alive, "{earlier} with {later}");
}

#[test]
fn no_snapshot_ever_shows_a_broken_edge() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        let handle: HostHandle = stage.host.handle();
        let observer = spawn("observer", move || (0..6).for_each(|_| in_order(&handle.services())));
        let result = stage.start_and_stop();
        observer.join().unwrap();
        stage.check(&result);
    });
}

#[test]
fn a_snapshot_waits_for_no_service() {
    explore(|| {
        let mut stage = Stage::still();
        let gate = StopSource::new();
        let (starts, stops) = (gate.token(), gate.token());
        let starts = Act::calling(move |_: &Context| Ok(starts.wait()));
        let stops = Act::calling(move |_: &Context| Ok(stops.wait()));
        stage.add("a", &[], Probe::new().start(starts));
        stage.add("b", &[], Probe::new().stop(stops));
        let handle = stage.host.handle();
        // Only the observer releases the services that block.
        let observer = spawn("observer", move || {
            assert_eq!(handle.services().len(), 2);
            _ = handle.state();
            gate.request_stop();
        });
        let result = stage.start_and_stop();
        observer.join().unwrap();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn a_snapshot_of_a_host_that_has_stopped_is_its_report() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Return));
        stage.add("c", &["a"], Probe::new().run(Act::Fail));
        let result = stage.start_and_stop();
        let report = result.as_ref().unwrap_err().report();
        for (status, report) in stage.host.handle().services().iter().zip(&report.services) {
            let label = if status.state == ServiceState::Waiting { "never started" } else { &status.state.to_string() };
            assert_eq!(label, report.outcome.label());
        }
        stage.check(&result);
    });
}
