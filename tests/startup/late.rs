//! Guarantees 23 and 24: start timeouts, and a stop request during start-up.

use super::diary::Diary;
use crate::support::{LIMIT, by_phase, idle, idle_phase, in_phase, in_time};
use crossbeam_channel::{bounded, unbounded};
use hosted::{
    Cause, Context, Host, HostError, OnFailure, Outcome, Phase, Result, ServiceError, StopReason, StopSource,
};
use std::error::Error;
use std::thread;
use std::time::{Duration, Instant};

/// Waits for its stop request in `start`.
fn late(ctx: &Context) -> Result {
    idle_phase(Phase::Run, ctx)
}

/// Is ready when `limit` has passed, and not before.
fn just_late(limit: Duration) -> impl FnMut(&Context) -> Result {
    move |_| {
        let began = Instant::now(); // the limit counts from the creation of the thread, a moment earlier
        while began.elapsed() <= limit {
            std::hint::spin_loop();
        }
        Ok(())
    }
}

/// Asserts that the one failure of `error` is this service, which exceeded this start timeout.
fn assert_timed_out(error: &HostError, service: &str, limit: Duration) {
    let [failure] = error.failures() else { panic!("one failure: {error}") };
    assert_eq!((failure.service(), failure.phase()), (service, Phase::Start), "{error}");
    assert!(matches!(failure.cause(), Cause::TimedOut(time) if *time == limit), "{error}");
    assert_eq!(error.report().reason, StopReason::Failed(service.into()));
}

// 23
#[test]
fn a_service_past_its_start_timeout_is_named_and_the_start_is_rolled_back() {
    in_time(|| {
        let (mut host, diary, limit) = (Host::new(), Diary::default(), Duration::from_millis(20));
        host.add("a", diary.keeper(|_| Ok(())));
        host.add("late", diary.keeper(|ctx| ctx.sleep(Duration::MAX).map_err(Into::into))).start_timeout(limit);
        host.add("c", diary.keeper(|_| Ok(())));
        let error = host.start().unwrap_err();
        assert_timed_out(&error, "late", limit);
        let [a, late, c] = &error.report().services[..] else { panic!("three services: {error}") };
        assert!(matches!((&a.outcome, &c.outcome), (Outcome::Stopped, Outcome::NeverStarted)), "{error}");
        assert!(matches!(late.outcome, Outcome::Failed(_)), "{error}");
        assert_eq!(diary.pages(), ["start a", "start late", "stop a"]);
    });
}

// 23
#[test]
fn a_host_past_its_start_timeout_names_the_late_services() {
    in_time(|| {
        let (mut host, limit) = (Host::new(), Duration::from_millis(20));
        host.start_timeout(limit);
        host.add("late", in_phase(Phase::Start, late)).on_failure(OnFailure::Ignore); // the host itself has no start timeout
        host.add("too", in_phase(Phase::Start, late)).after::<&str>([]);
        host.add("c", idle());
        let error = host.start().unwrap_err();
        let timed_out = |error: &ServiceError| matches!(error.cause(), Cause::TimedOut(time) if *time == limit);
        assert!(error.failures().iter().all(timed_out), "{error}");
        assert_eq!(error.failures().iter().map(ServiceError::service).collect::<Vec<_>>(), ["late", "too"]);
        assert!(matches!(error.report().services[2].outcome, Outcome::NeverStarted), "{error}");
    });
}

// 23
#[test]
fn a_start_that_returns_ok_after_its_timeout_fails_and_its_thread_calls_stop() {
    in_time(|| {
        let (mut host, limit, (sender, receiver)) = (Host::new(), Duration::from_millis(20), unbounded());
        let service = by_phase(move |phase, ctx| {
            sender.send((phase, thread::current().name().map(str::to_owned)))?;
            if phase == Phase::Start { late(ctx) } else { Ok(()) }
        });
        host.add("late", service).start_timeout(limit);
        assert_timed_out(&host.start().unwrap_err(), "late", limit);
        let thread = Some("late".to_owned());
        let calls: Vec<_> = receiver.try_iter().collect();
        assert_eq!(calls, [(Phase::Start, thread.clone()), (Phase::Stop, thread)]);
    });
}

// 23
#[test]
fn a_start_that_returns_ok_after_its_timeout_fails_even_if_the_host_checks_late() {
    in_time(|| {
        for limit in [Duration::ZERO, Duration::from_micros(50)].repeat(100) {
            let mut host = Host::new();
            host.add("late", in_phase(Phase::Start, just_late(limit))).start_timeout(limit);
            assert_timed_out(&host.start().expect_err("it was late"), "late", limit);
            let mut host = Host::new();
            host.start_timeout(limit).add("late", in_phase(Phase::Start, just_late(limit)));
            assert_timed_out(&host.start().expect_err("the host was late"), "late", limit);
        }
    });
}

// 23
#[test]
fn a_late_service_is_hung_only_if_it_is_alive_at_the_deadline() {
    in_time(|| {
        let (mut host, limit, (release, blocked)) = (Host::new(), Duration::from_millis(20), bounded::<()>(0));
        host.stop_timeout(Duration::from_millis(100));
        let unresponsive = move |_: &Context| {
            _ = blocked.recv(); // until the sender is gone
            Ok(())
        };
        host.add("late", in_phase(Phase::Start, unresponsive)).start_timeout(limit);
        let error = host.start().unwrap_err();
        assert_timed_out(&error, "late", limit);
        let hung = |error: &HostError| matches!(error.report().services[0].outcome, Outcome::Hung(_));
        assert!(hung(&error), "{error}");
        drop(release);
        let error = host.stop(LIMIT).unwrap_err();
        assert_timed_out(&error, "late", limit);
        assert!(!hung(&error), "{error}");
    });
}

// 23, 32
#[test]
fn dependents_of_a_late_ignored_service_start_without_it() {
    in_time(|| {
        let mut host = Host::new();
        let options = host.add("cache", in_phase(Phase::Start, late));
        options.start_timeout(Duration::from_millis(20)).on_failure(OnFailure::Ignore);
        host.add("server", idle());
        host.start().unwrap();
        let report = host.stop(LIMIT).unwrap();
        let [cache, server] = &report.services[..] else { panic!("two services: {report}") };
        let timed_out = |error: &ServiceError| matches!(error.cause(), Cause::TimedOut(_));
        assert!(matches!(&cache.outcome, Outcome::Failed(error) if timed_out(error)), "{report}");
        assert!(matches!(server.outcome, Outcome::Stopped), "{report}");
    });
}

// 24
#[test]
fn a_stop_request_during_start_up_stops_the_started_services_without_a_failure() {
    in_time(|| {
        let (mut host, diary, (sender, begun)) = (Host::new(), Diary::default(), bounded(0));
        host.add("a", diary.keeper(|_| Ok(())));
        let start = move |ctx: &Context| {
            sender.send(())?;
            Ok(ctx.sleep(Duration::MAX)?)
        };
        host.add("b", in_phase(Phase::Start, start));
        host.add("c", diary.keeper(|_| Ok(())));
        let handle = host.handle();
        let starter = thread::spawn(move || host.start().unwrap_err());
        begun.recv().unwrap();
        handle.request_stop();
        let error = starter.join().unwrap();
        assert!(error.failures().is_empty() && error.source().is_none(), "{error}");
        assert_eq!(error.report().reason, StopReason::Requested);
        let [a, b, c] = &error.report().services[..] else { panic!("three services: {error}") };
        assert!(matches!((&a.outcome, &b.outcome), (Outcome::Stopped, Outcome::Stopped)), "{error}");
        assert!(matches!(c.outcome, Outcome::NeverStarted), "{error}");
        assert_eq!(diary.pages(), ["start a", "stop a"]);
    });
}

// 24
#[test]
fn a_stop_request_during_start_up_makes_run_return_ok_with_that_reason() {
    in_time(|| {
        let (mut host, diary, stop) = (Host::new(), Diary::default(), StopSource::new());
        let requester = stop.clone();
        let start = move |ctx: &Context| {
            requester.request_stop();
            late(ctx) // ready all the same, so it is stopped like any other service
        };
        host.add("a", in_phase(Phase::Start, start));
        host.add("b", diary.keeper(|_| Ok(())));
        let report = host.run_until(&stop.token()).unwrap();
        assert_eq!(report.reason, StopReason::Requested);
        assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
        assert!(matches!(report.services[1].outcome, Outcome::NeverStarted), "{report}");
        assert!(diary.pages().is_empty());
    });
}
