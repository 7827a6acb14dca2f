//! Restarts against stops.

use super::probe::{Act, Probe, Step};
use super::stage::Stage;
use crate::models::explore::explore;
use crate::{HostState, Outcome, Restart, StopReason, StopSource};
use std::time::Duration;

const BACKOFF: Duration = Duration::from_secs(1);

fn restart() -> Restart {
    Restart::on_failure().backoff(BACKOFF..=BACKOFF).give_up_after(3)
}

#[test]
fn a_stop_ends_a_backoff_that_would_never_end() {
    explore(|| {
        let mut stage = Stage::still();
        stage.restarts = true;
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Fail)).restart(restart());
        stage.host.start().unwrap();
        let watcher = stage.watched(3);
        let result = stage.stop();
        watcher.join().unwrap();
        assert_eq!(stage.journal.count("b", Step::Start), 1);
        stage.check(&result);
    });
}

#[test]
fn two_runs_never_overlap_and_each_has_its_own_stop() {
    explore(|| {
        let mut stage = Stage::running();
        stage.restarts = true;
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Panic)).restart(restart());
        stage.host.start().unwrap();
        let requester = stage.stop_requested_on_a_thread();
        let reason = stage.host.wait();
        let result = stage.stop();
        requester.join().unwrap();
        let (starts, stops) = (stage.journal.count("b", Step::Start), stage.journal.count("b", Step::Stop));
        assert!(starts == stops && (1..=4).contains(&starts), "{:?}", stage.journal.all());
        if reason == StopReason::Failed("b".into()) {
            assert_eq!(starts, 4);
        }
        let restarts = result.as_ref().unwrap_or_else(|error| error.report()).services[1].restarts;
        assert_eq!(restarts as usize, starts - 1);
        stage.check(&result);
    });
}

#[test]
fn a_service_without_restarts_left_has_failed_for_good() {
    explore(|| {
        let mut stage = Stage::running();
        stage.restarts = true;
        stage.add("a", &[], Probe::new());
        stage
            .add("b", &["a"], Probe::new().run(Act::Return))
            .restart(Restart::always().backoff(BACKOFF..=BACKOFF).give_up_after(2));
        stage.host.start().unwrap();
        assert_eq!(stage.host.wait(), StopReason::Failed("b".into()));
        assert_eq!(stage.journal.count("b", Step::Run), 3);
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&result);
    });
}

#[test]
fn a_first_start_that_is_tried_again_is_stopped_in_its_backoff() {
    explore(|| {
        let mut stage = Stage::still();
        stage.restarts = true;
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().start(Act::Fail)).restart(restart().also_first_start());
        stage.add("c", &["b"], Probe::new());
        let requester = stage.stop_requested_on_a_thread();
        let error = stage.host.start().unwrap_err();
        requester.join().unwrap();
        assert_eq!(error.report().reason, StopReason::Requested);
        // A service that fails after its stop request is not restarted: it has failed.
        assert!(error.failures().len() <= 1 && stage.journal.count("b", Step::Start) <= 1);
        stage.check(&Err(error));
    });
}

#[test]
fn a_service_whose_restart_succeeds_stops_like_any_other() {
    explore(|| {
        let mut stage = Stage::running();
        stage.restarts = true;
        let mut tries = 0;
        let fails_once = move |_: &crate::Context| {
            tries += 1;
            if tries == 1 { Err("once".into()) } else { Ok(()) }
        };
        stage.add("a", &[], Probe::new().start(Act::calling(fails_once))).restart(restart().also_first_start());
        stage.add("b", &["a"], Probe::new());
        stage.host.start().unwrap();
        let result = stage.stop();
        let report = result.as_ref().unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::Stopped) && report.services[0].restarts == 1);
        stage.check(&result);
    });
}

#[test]
fn a_restart_during_the_start_of_others_does_not_make_them_started() {
    explore(|| {
        let mut stage = Stage::running();
        stage.restarts = true;
        let again = StopSource::new();
        let (second, waiting) = (again.clone(), again.token());
        let fails_once = move |ctx: &crate::Context| {
            if ctx.restarts() == 0 {
                return Err("once".into());
            }
            second.request_stop();
            Ok(ctx.wait())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(fails_once))).restart(restart());
        let waits = move |ctx: &crate::Context| {
            waiting.wait();
            if ctx.host().state() == HostState::Starting { Ok(()) } else { Err("the host has not started yet".into()) }
        };
        stage.add("b", &[], Probe::new().start(Act::calling(waits)));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok(), "{result:?}");
        stage.check(&result);
    });
}

#[test]
fn a_failure_after_the_request_is_emitted_and_not_retried() {
    explore(|| {
        let mut stage = Stage::still();
        stage.restarts = true;
        let fails = |ctx: &crate::Context| {
            ctx.wait();
            Err("woken by force".into())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(fails))).restart(restart());
        stage.host.start().unwrap();
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&result);
    });
}

#[test]
fn a_stop_in_a_backoff_is_followed_by_one_last_run_that_finishes() {
    explore(|| {
        let mut stage = Stage::running();
        (stage.restarts, stage.finishes) = (true, vec!["b"]);
        let fails_once = |ctx: &crate::Context| {
            if ctx.restarts() == 0 {
                return Err("once".into());
            }
            Ok(ctx.wait())
        };
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::calling(fails_once))).restart(restart().finish_on_stop());
        stage.host.start().unwrap();
        let watcher = stage.watched(3);
        let result = stage.stop();
        watcher.join().unwrap();
        let report = result.as_ref().unwrap();
        assert!(matches!(report.services[1].outcome, Outcome::Stopped), "{report}");
        assert_eq!(stage.journal.count("b", Step::Run), 2);
        stage.check(&result);
    });
}

#[test]
fn a_service_that_fails_to_finish_tries_again_and_then_fails_for_good() {
    explore(|| {
        let mut stage = Stage::running();
        (stage.restarts, stage.finishes) = (true, vec!["b"]);
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::Fail)).restart(restart().finish_on_stop());
        stage.host.start().unwrap();
        let result = stage.stop();
        // The first run, three restarts, and one more run if the stop request ended a backoff.
        assert!((4..=5).contains(&stage.journal.count("b", Step::Run)), "{:?}", stage.journal.all());
        assert_eq!(result.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&result);
    });
}
