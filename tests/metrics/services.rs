//! The metrics of services and of the host.

use crate::recorder::{Values, recorder};
use crate::support::{Gate, LIMIT, SECOND, eventually, idle, in_phase, in_time, unresponsive};
use hosted::testing::ManualClock;
use hosted::{Context, Host, OnFailure, Phase, Restart, every, group, task, worker};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn at_once() -> Restart {
    Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO)
}

/// Waits until the service is counted in this state, once, and in no other.
fn until_only(values: &Values, service: &str, state: &str) {
    eventually(|| (values.states(service) == [(state.to_owned(), 1.0)]).then_some(()));
}

fn count(values: &Values, what: &str, service: &str) -> Option<f64> {
    values.get(&format!("hosted_service_{what}_total"), &[("service", service)])
}

// 191
#[test]
fn the_state_of_a_service_is_counted_from_add_until_its_host_is_dropped() {
    let values = recorder();
    let gate = Gate::new();
    let passed = gate.clone();
    let mut host = Host::new();
    host.add("followed", in_phase(Phase::Start, move |ctx| passed.pass(ctx)));
    until_only(&values, "followed", "waiting");
    for counter in ["restarts", "errors", "ticks_missed"] {
        assert_eq!(count(&values, counter, "followed"), Some(0.0), "{counter}");
    }
    let starting = thread::spawn(move || {
        host.start().unwrap();
        host
    });
    gate.arrival();
    until_only(&values, "followed", "starting");
    gate.let_one_through();
    let mut host = starting.join().unwrap();
    until_only(&values, "followed", "running");
    host.stop(LIMIT).unwrap();
    assert_eq!(values.states("followed"), [("stopped".to_owned(), 1.0)], "exact after the stop");
    drop(host);
    // A thread that joined others may hold the state of the host for a moment.
    eventually(|| values.states("followed").is_empty().then_some(()));
}

// 191
#[test]
fn every_end_of_a_service_has_its_state() {
    let values = recorder();
    let mut host = Host::new();
    host.add("ends completed", task(|_| Ok(())));
    host.add("ends failed", worker(|_| Err("broken".into()))).on_failure(OnFailure::Ignore);
    let hour = 3_600 * SECOND;
    host.add("ends not restarted", worker(|_| Err("broken".into())))
        .restart(Restart::on_failure().backoff(hour..=hour));
    let (unresponsive, release) = unresponsive();
    host.add("ends hung", unresponsive).independent();
    host.start().unwrap();
    until_only(&values, "ends completed", "completed");
    until_only(&values, "ends failed", "failed");
    until_only(&values, "ends not restarted", "restarting");
    host.stop(SECOND / 10).unwrap_err();
    until_only(&values, "ends hung", "hung");
    until_only(&values, "ends not restarted", "not restarted");
    drop(release);
    host.stop(LIMIT).unwrap();
    until_only(&values, "ends hung", "stopped");
}

// 192
#[test]
fn restarts_errors_and_missed_ticks_are_counted_as_the_status_counts_them() {
    let values = recorder();
    let time = Arc::new(ManualClock::new());
    let mut host = Host::with_clock(time.clock());
    let mut runs = 0;
    let fails = move |ctx: &Context| {
        ctx.report_error("reported");
        runs += 1;
        if runs <= 3 { Err("failed".into()) } else { Ok(ctx.sleep(Duration::MAX)?) }
    };
    host.add("counted", worker(fails)).restart(at_once());
    let ticks = time.clone();
    let mut late = 0;
    let slow = move |_: &Context| {
        late += 1;
        if late == 1 {
            ticks.advance(5 * SECOND); // the tick takes so long
        }
        Ok(())
    };
    host.add("late", every(SECOND, slow));
    host.start().unwrap();
    eventually(|| (host.handle().services()[0].restarts == 3).then_some(()));
    eventually(|| (count(&values, "errors", "counted") == Some(7.0)).then_some(()));
    assert_eq!(count(&values, "restarts", "counted"), Some(3.0));
    time.wait_for_sleepers(2);
    time.advance(SECOND);
    let missed = eventually(|| Some(host.handle().services()[1].ticks_missed).filter(|missed| *missed > 0));
    eventually(|| (count(&values, "ticks_missed", "late") == Some(missed as f64)).then_some(()));
    host.stop(LIMIT).unwrap();
    for status in host.handle().services() {
        assert_eq!(count(&values, "errors", &status.name), Some(status.errors as f64));
        assert_eq!(count(&values, "restarts", &status.name), Some(status.restarts.into()));
        assert_eq!(count(&values, "ticks_missed", &status.name), Some(status.ticks_missed as f64));
    }
}

// 191
#[test]
fn a_child_of_a_group_that_restarts_is_counted_in_one_state() {
    let values = recorder();
    let mut host = Host::new();
    let gate = Gate::new();
    let passed = gate.clone();
    let mut runs = 0;
    let fill = move |feed: &mut Host| {
        runs += 1;
        let (is_last, gate) = (runs == 5, passed.clone());
        feed.add("reader", idle());
        let fails = move |ctx: &Context| {
            gate.pass(ctx)?;
            if is_last { Ok(ctx.sleep(Duration::MAX)?) } else { Err("broken".into()) }
        };
        feed.add("parser", worker(fails));
        Ok(())
    };
    host.add("metered feed", group(fill)).restart(at_once());
    host.start().unwrap();
    for _ in 0..5 {
        gate.arrival();
        gate.let_one_through();
    }
    for name in ["metered feed", "metered feed/reader", "metered feed/parser"] {
        until_only(&values, name, "running");
    }
    assert_eq!(count(&values, "restarts", "metered feed"), Some(4.0));
    assert_eq!(count(&values, "errors", "metered feed/parser"), Some(4.0), "of all runs of the group");
    host.stop(LIMIT).unwrap();
}

// 191
#[test]
fn health_is_counted_like_the_state() {
    let values = recorder();
    let health = |health| values.get("hosted_service_health", &[("service", "ill"), ("health", health)]);
    let gate = Gate::new();
    let passed = gate.clone();
    let mut host = Host::new();
    let ill = move |ctx: &Context| {
        ctx.degraded("no connection");
        passed.pass(ctx)?;
        ctx.healthy();
        Ok(ctx.sleep(Duration::MAX)?)
    };
    host.add("ill", worker(ill));
    host.start().unwrap();
    gate.arrival();
    assert_eq!((health("healthy"), health("degraded")), (Some(0.0), Some(1.0)));
    gate.let_one_through();
    eventually(|| (health("healthy") == Some(1.0) && health("degraded") == Some(0.0)).then_some(()));
    host.stop(LIMIT).unwrap();
}

// 193
#[test]
fn a_host_with_a_name_labels_its_metrics_and_records_its_shutdown() {
    let values = recorder();
    let mut host = Host::named("shop");
    host.add("labelled", idle());
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    let labels = [("host", "shop"), ("service", "labelled"), ("state", "stopped")];
    assert_eq!(values.get("hosted_service_state", &labels), Some(1.0));
    assert_eq!(values.get("hosted_service_errors_total", &labels[..2]), Some(0.0));
    let took = values.get("hosted_host_stop_seconds", &[("host", "shop")]).unwrap();
    assert!(took > 0.0 && took < LIMIT.as_secs_f64(), "{took}");
}

// 194
#[test]
fn a_recorder_that_calls_the_host_or_panics_changes_nothing() {
    let values = recorder();
    let mut host = Host::new();
    let handle = host.handle();
    values.on_change(move |key| {
        if key.contains("\"disturbed\"") {
            assert!(handle.services().len() <= 1);
            panic!("the recorder is broken");
        }
    });
    host.add("disturbed", worker(|_| Err("broken".into()))).restart(at_once().give_up_after(20));
    let error = in_time(move || host.run().unwrap_err());
    assert_eq!(error.report().services[0].restarts, 20);
}

// 193
#[test]
fn every_metric_has_a_description_with_its_unit() {
    let values = recorder();
    let mut host = Host::new();
    host.add("described", idle());
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    let names = values.names();
    assert!(names.contains(&"hosted_service_state".to_owned()), "{names:?}");
    for name in names {
        let (unit, text) = values.description(&name).unwrap_or_else(|| panic!("{name} has no description"));
        assert!(text.ends_with('.'), "{name}: {text}");
        assert_eq!(unit.is_some_and(|unit| unit.is_time_based()), name.ends_with("_seconds"), "{name}");
    }
}
