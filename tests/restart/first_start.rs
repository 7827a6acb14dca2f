//! Guarantee 40: whether a first start that fails is retried.

use super::observed::{fails, no_backoff, observed, panics};
use crate::support::{LIMIT, next};
use crossbeam_channel::unbounded;
use hosted::testing::ManualClock;
use hosted::{Cause, Host, Phase, Restart, StopReason, StopToken, task};
use std::time::{Duration, Instant};

// 40
#[test]
fn a_first_start_that_fails_is_not_retried_whatever_the_policy() {
    for (restart, fails) in [Restart::on_failure(), Restart::always()].into_iter().zip([fails, panics]) {
        let (service, steps) = observed(move |_, _, _| fails());
        let mut host = Host::new();
        host.add("it", service).restart(restart.backoff(no_backoff()));
        let error = host.start().unwrap_err();
        assert_eq!((error.failures().len(), error.failures()[0].phase()), (1, Phase::Start));
        assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start"]);
    }
}

// 40
#[test]
fn also_first_start_retries_the_first_start_while_its_dependents_wait() {
    let (service, steps) = observed(|step, n, ctx| match (step, n) {
        ("start", 1) => fails(),
        ("start", 2) => panics(),
        ("run", _) => Ok(ctx.sleep(Duration::MAX)?),
        _ => Ok(()),
    });
    let ((sender, receiver), seen) = (unbounded(), steps.clone());
    let mut host = Host::new();
    host.add("it", service).restart(Restart::on_failure().backoff(no_backoff()).also_first_start());
    host.add("after", task(move |_| Ok(sender.send(seen.len())?)));
    host.start().unwrap();
    assert!(next(&receiver) >= 3);
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start", "start", "start", "run", "stop"]);
    assert_eq!((report.services[0].restarts, report.services[0].errors), (2, 2));
}

// 40
#[test]
fn a_first_start_is_retried_within_its_start_timeout_and_no_longer() {
    let time = ManualClock::new(); // stands still, so that the backoff lasts forever
    let mut host = Host::with_clock(time.clock());
    let (service, steps) = observed(|_, _, _| fails());
    let limit = Duration::from_millis(50);
    host.add("it", service).restart(Restart::on_failure().also_first_start()).start_timeout(limit);
    let began = Instant::now();
    let error = host.start().unwrap_err();
    assert!(began.elapsed() >= limit);
    assert!(matches!(error.failures()[0].cause(), Cause::TimedOut(time) if *time == limit), "{error}");
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start"]);
}

// 40, 44
#[test]
fn a_stop_request_ends_the_backoff_of_a_first_start_without_a_failure() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let (service, steps) = observed(|_, _, _| fails());
    host.add("it", service).restart(Restart::on_failure().also_first_start());
    let handle = host.handle();
    let requester = std::thread::spawn(move || {
        time.wait_for_sleepers(1);
        handle.request_stop();
    });
    let error = host.start().unwrap_err();
    requester.join().unwrap();
    assert!(error.failures().is_empty(), "{error}");
    assert_eq!(error.report().reason, StopReason::Requested);
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start"]);
}

// 40
#[test]
fn a_start_that_fails_in_a_restart_is_retried() {
    let (service, steps) = observed(|step, n, ctx| match (step, n) {
        ("run", 1) | ("start", 2) => fails(),
        ("run", _) => {
            ctx.host().request_stop();
            Ok(())
        }
        _ => Ok(()),
    });
    let mut host = Host::new();
    host.add("it", service).restart(Restart::on_failure().backoff(no_backoff()));
    assert_eq!(host.run_until(&StopToken::never()).unwrap().services[0].restarts, 2);
    let expected = ["start", "run", "stop", "start", "start", "run", "stop"];
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), expected);
}

// 40, 42
#[test]
fn a_first_start_that_keeps_failing_is_given_up_after_n_restarts() {
    let (service, steps) = observed(|_, _, _| fails());
    let mut host = Host::new();
    host.add("it", service).restart(Restart::on_failure().backoff(no_backoff()).give_up_after(3).also_first_start());
    let error = host.start().unwrap_err();
    assert_eq!((error.failures().len(), error.failures()[0].phase()), (1, Phase::Start));
    assert_eq!(steps.try_iter().collect::<Vec<_>>(), ["start"; 4]);
}
