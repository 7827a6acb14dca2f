//! The shutdown, the reapers, and the drop of a host.

use super::probe::{Act, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{HostState, Outcome};
use std::time::Duration;

#[test]
fn a_diamond_is_stopped_in_reverse() {
    explore(|| {
        let mut stage = Stage::diamond();
        stage.host.start().unwrap();
        let watcher = stage.watched(6);
        let result = stage.stop();
        watcher.join().unwrap();
        for name in ["a", "b", "c", "d"] {
            assert_eq!(
                (stage.journal.count(name, Step::StopRequested) > 0, stage.journal.count(name, Step::Stop)),
                (true, 1)
            );
        }
        assert!(result.as_ref().unwrap().services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)));
        stage.check(&result);
    });
}

#[test]
fn services_that_exit_at_once_are_all_joined() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add_waiting(&["a", "b", "c", "d", "e"]);
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn services_that_exit_at_once_are_all_joined_by_any_number_of_reapers() {
    explore(|| {
        let mut stage = Stage::running();
        stage.add_waiting(&["a", "b", "c", "d"]);
        stage.add("e", &["a", "b"], Probe::new().run(Act::Return));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok());
        stage.check(&result);
    });
}

#[test]
fn a_dropped_host_has_stopped_all_its_services() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        stage.host.start().unwrap();
        let requester = stage.stop_requested_on_a_thread();
        let (handle, journal) = (stage.host.handle(), stage.journal.clone());
        drop(stage);
        assert_eq!(handle.state(), HostState::Stopped);
        for name in ["a", "b"] {
            assert_eq!(journal.of(name).last(), Some(&Step::Dropped));
            assert_eq!(journal.count(name, Step::Stop), 1);
        }
        requester.join().unwrap();
    });
}

#[test]
fn concurrent_stop_requests_stop_the_host_once() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        stage.host.start().unwrap();
        let requesters = [stage.stop_requested_on_a_thread(), stage.stop_requested_on_a_thread()];
        let result = stage.host.stop(Duration::from_secs(10));
        for requester in requesters {
            requester.join().unwrap();
        }
        stage.check(&result);
        let again = stage.stop();
        assert!(again.is_ok());
        stage.check(&again);
    });
}

#[test]
fn a_host_is_started_on_one_thread_and_stopped_on_another() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Return));
        let starter = spawn("starter", move || {
            let result = stage.start_and_stop();
            assert!(result.is_ok());
            stage.check(&result);
        });
        starter.join().unwrap();
    });
}
