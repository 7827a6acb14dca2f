//! Guarantee 23: a service that is ready in time is not affected, and the kind of a timeout decides its effect.

use crate::support::{LIMIT, idle};
use crossbeam_channel::{Sender, bounded};
use hosted::{Cause, Context, Host, OnFailure, Outcome, Phase, Restart, Result, Service, ServiceState, task};
use std::thread;
use std::time::Duration;

/// A service whose `start` ignores its stop request: it blocks until the sender is dropped.
fn stuck_in_start() -> (impl Service, Sender<()>) {
    let (release, held) = bounded::<()>(0);
    let start = move |_: &Context| -> Result {
        _ = held.recv();
        Ok(())
    };
    (task(start), release)
}

// 23
#[test]
fn a_service_that_was_ready_in_time_is_not_affected_by_the_start_timeout() {
    const OWN: Duration = Duration::from_secs(1);
    let mut host = Host::new();
    host.add("in time", idle()).start_timeout(OWN);
    let ready = host.handle();
    // Its start exceeds the timeout of the first service, and a second service is ready behind it: the start checks
    // both.
    host.add(
        "slow",
        task(move |_| {
            assert_eq!(ready.services()[0].state, ServiceState::Running);
            thread::sleep(OWN + OWN / 4);
            Ok(())
        }),
    );
    host.add("last", idle());
    host.start().unwrap();
    let first = &host.handle().services()[0];
    assert_eq!((first.state, first.errors), (ServiceState::Running, 0));
    host.stop(LIMIT).unwrap();
}

// 23
#[test]
fn the_hosts_start_timeout_applies_to_ignored_services_too() {
    const WHOLE: Duration = Duration::from_millis(200);
    let (stuck, release) = stuck_in_start();
    let mut host = Host::new();
    host.start_timeout(WHOLE).stop_timeout(Duration::from_millis(200));
    host.add("stuck", stuck).on_failure(OnFailure::Ignore);
    host.add("next", idle());
    let error = host.start().unwrap_err();
    let failure = &error.failures()[0];
    assert_eq!((failure.service(), failure.phase()), ("stuck", Phase::Start), "{error}");
    assert!(matches!(failure.cause(), Cause::TimedOut(WHOLE)), "{error}");
    assert!(matches!(error.report().services[1].outcome, Outcome::NeverStarted), "{error}");
    drop(release);
}

// 23
#[test]
fn the_earlier_of_two_start_timeouts_applies() {
    const SHORT: Duration = Duration::from_millis(200);
    for (own, whole) in [(SHORT, LIMIT), (LIMIT, SHORT)] {
        let (stuck, release) = stuck_in_start();
        let mut host = Host::new();
        host.start_timeout(whole).stop_timeout(Duration::from_millis(200));
        host.add("stuck", stuck).start_timeout(own);
        let error = host.start().unwrap_err();
        assert!(matches!(error.failures()[0].cause(), Cause::TimedOut(SHORT)), "{error}");
        drop(release);
    }
}

// 23, 31
#[test]
fn the_error_of_a_late_start_is_reported_even_before_its_stop_request() {
    for round in 0..200 {
        let mut host = Host::new();
        let start = |ctx: &Context| -> Result {
            while ctx.host().services()[0].errors == 0 {
                thread::yield_now();
            }
            Err("no answer".into())
        };
        // A policy that would retry cannot help after the timeout.
        let restart = if round % 2 == 0 { Restart::never() } else { Restart::on_failure().also_first_start() };
        host.add("late", task(start)).start_timeout(Duration::from_millis(1)).restart(restart);
        let error = host.start().unwrap_err();
        let [late, failed] = error.failures() else { panic!("round {round}: expected two failures: {error}") };
        assert!(matches!(late.cause(), Cause::TimedOut(_)), "{error}");
        assert!(failed.to_string().contains("no answer"), "{error}");
    }
}
