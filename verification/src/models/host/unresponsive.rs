//! Unresponsive services and deadlines, with time that runs: holds, urgency, hung services, and another stop.

use super::probe::{Act, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{Cause, Context, HostError, Outcome, Report, StopSource, StopToken};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Creates a service that stops only when the gate opens, and ignores its stop request.
fn unresponsive(gate: &StopSource) -> Probe {
    let token: StopToken = gate.token();
    Probe::new().run(Act::calling(move |_: &Context| Ok(token.wait())))
}

fn report(result: &Result<Report, HostError>) -> &Report {
    result.as_ref().unwrap_or_else(|error| error.report())
}

#[test]
fn another_stop_waits_for_a_hung_service_again() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], unresponsive(&gate));
        stage.host.start().unwrap();
        let opener = spawn("opener", move || _ = gate.request_stop());
        let first = stage.host.stop(TIMEOUT);
        match &report(&first).services[1].outcome {
            Outcome::Stopped | Outcome::Completed => assert!(first.is_ok()),
            Outcome::Hung(_) => {
                let error = first.as_ref().unwrap_err();
                let of_b = error.failures().iter().find(|error| error.service() == "b").unwrap();
                assert!(matches!(of_b.cause(), Cause::TimedOut(_)));
            }
            other => panic!("{other:?}"),
        }
        let watcher = stage.watched(3);
        let second = stage.stop();
        watcher.join().unwrap();
        opener.join().unwrap();
        assert!(second.is_ok(), "{second:?}");
        stage.check(&second);
    });
}

#[test]
fn every_service_receives_its_request_before_the_deadline() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], unresponsive(&gate));
        stage.add("c", &["b"], unresponsive(&gate));
        stage.add("d", &["c"], unresponsive(&gate));
        stage.host.start().unwrap();
        let watcher = stage.watched(4);
        let first = stage.host.stop(TIMEOUT);
        watcher.join().unwrap();
        for service in stage.host.handle().registry().observe().services {
            assert!(service.stop_requested, "`{}` has no stop request", service.name);
        }
        for unresponsive in &report(&first).services[1..] {
            assert!(
                matches!(unresponsive.outcome, Outcome::Hung(_))
                    && (unresponsive.stop_timed_out || &*unresponsive.name == "a"),
                "{unresponsive:?}"
            );
        }
        assert!(first.as_ref().unwrap_err().failures().len() >= 3);
        gate.request_stop();
        let second = stage.stop();
        assert!(second.is_ok());
        stage.check(&second);
    });
}

#[test]
fn a_service_delays_its_dependencies_at_most_by_its_stop_timeout() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        let token = gate.token();
        // `b` stops only after the stop request of `a`. Without the stop timeout of `b`, that would be at the deadline.
        let opens = move |ctx: &Context| {
            ctx.wait();
            _ = gate.request_stop();
            Ok(())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(opens)));
        let ends = Probe::new().run(Act::calling(move |_: &Context| Ok(token.wait())));
        stage.add("b", &["a"], ends).stop_timeout(Duration::from_secs(1));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok());
        assert!(report(&result).services[1].stop_timed_out);
        stage.check(&result);
    });
}

#[test]
fn a_rollback_leaves_a_hung_service_to_another_stop() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        stage.add("a", &[], unresponsive(&gate));
        stage.add("b", &["a"], Probe::new().start(Act::Fail));
        let error = stage.host.start().unwrap_err();
        assert_eq!((error.failures()[0].service(), error.failures().len()), ("b", 2));
        assert!(matches!(error.report().services[0].outcome, Outcome::Hung(_)));
        gate.request_stop();
        let result = stage.stop();
        assert_eq!(result.as_ref().unwrap_err().failures().len(), 1);
        stage.check(&result);
    });
}

#[test]
fn a_callback_that_blocks_is_hung_until_a_later_stop() {
    explore(|| {
        let mut stage = Stage::running();
        let gate = StopSource::new();
        let token = gate.token();
        let blocks = move |ctx: &Context| {
            let token = token.clone();
            let _guard = ctx.on_stop(move || token.wait());
            Ok(ctx.wait())
        };
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new().run(Act::calling(blocks)));
        stage.host.start().unwrap();
        let opener = spawn("opener", move || _ = gate.request_stop());
        let first = stage.host.stop(TIMEOUT);
        let hung = matches!(report(&first).services[1].outcome, Outcome::Hung(_));
        assert!(!hung || first.is_err());
        let second = stage.stop();
        opener.join().unwrap();
        assert!(second.is_ok());
        assert_eq!(stage.journal.count("b", Step::Stop), 1);
        stage.check(&second);
    });
}
