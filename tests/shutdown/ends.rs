//! Guarantees 31, 32 and 35: how services end, and what that means for the host.

use crate::support::log::{Level, listen};
use crate::support::{LIMIT, failures, idle, idle_phase, in_phase, in_time};
use crossbeam_channel::bounded;
use hosted::{
    Cause, Context, EventKind, Host, HostState, OnCompletion, OnFailure, Outcome, Phase, Result, ServiceState,
    StopReason, StopToken, task, worker,
};

// 31
#[test]
fn a_failure_stops_the_host_and_is_its_reason_with_service_phase_and_cause() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), bounded::<()>(0));
        host.add("a", idle());
        host.add("b", worker(move |_| Err(gate.1.recv().map_or("cable cut", |()| "let through").into())));
        host.start().unwrap();
        let stopping = host.handle().stopping();
        assert_eq!((stopping.stop_requested(), host.handle().state()), (false, HostState::Started));
        drop(gate.0);
        assert_eq!(host.wait(), StopReason::Failed("b".into()));
        assert_eq!((stopping.stop_requested(), host.handle().state()), (true, HostState::Stopping));
        assert_eq!(host.handle().services()[0].state, ServiceState::Running); // only the stop of the owner requests its stop
        let error = host.stop(LIMIT).unwrap_err();
        assert_eq!(failures(&error), [("b", Phase::Run)]);
        assert!(matches!(error.failures()[0].cause(), Cause::Failed(error) if error.to_string() == "cable cut"));
        assert_eq!(error.report().reason, StopReason::Failed("b".into()));
        let [a, b] = &error.report().services[..] else { panic!("two services: {error}") };
        assert!(matches!((&a.outcome, &b.outcome), (Outcome::Stopped, Outcome::Failed(_))), "{error}");
    });
}

// 31
#[test]
fn several_failures_are_in_the_result_in_order_and_the_first_is_the_reason() {
    in_time(|| {
        let mut host = Host::new();
        let after_the_stop = |ctx: &Context| {
            ctx.wait();
            Err("would not end well".into())
        };
        host.add("a", worker(after_the_stop));
        host.add("b", in_phase(Phase::Stop, |_| Err("cannot close".into())));
        let after_c = |ctx: &Context| {
            ctx.host().stopping().wait();
            Err("me too".into())
        };
        host.add("c", worker(after_c));
        host.add("d", worker(|_| Err("the first".into()))).after(["b"]);
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let all = [("d", Phase::Run), ("c", Phase::Run), ("b", Phase::Stop), ("a", Phase::Run)];
        assert_eq!(failures(&error), all);
        assert_eq!(error.report().reason, StopReason::Failed("d".into()));
    });
}

// 31
#[test]
fn the_first_cause_of_a_stop_is_its_reason() {
    in_time(|| {
        let mut host = Host::new();
        host.add(
            "a",
            worker(|ctx| {
                Err(format!("stopped: {}", {
                    ctx.wait();
                    true
                })
                .into())
            }),
        );
        host.start().unwrap();
        host.handle().request_stop();
        let error = host.stop(LIMIT).unwrap_err();
        assert_eq!(failures(&error), [("a", Phase::Run)]);
        assert_eq!((error.report().reason.clone(), host.wait()), (StopReason::Requested, StopReason::Requested));
    });
}

// 32
#[test]
fn an_ignored_failure_does_not_stop_the_host_and_is_in_the_report() {
    in_time(|| {
        let runs: [fn(&Context) -> Result; 2] = [|_| Err("no statistics".into()), |_| panic!("no statistics")];
        for run in runs {
            let mut host = Host::new();
            let events = host.events();
            host.add("statistics", worker(run)).on_failure(OnFailure::Ignore);
            host.add("server", idle());
            host.start().unwrap();
            while !matches!(events.recv().unwrap().kind, EventKind::Failed(_)) {}
            assert!(!host.handle().stopping().stop_requested());
            let report = host.stop(LIMIT).unwrap();
            assert_eq!(report.reason, StopReason::Requested);
            let Outcome::Failed(failure) = &report.services[0].outcome else { panic!("it failed: {report}") };
            assert!(failure.to_string().contains("no statistics"), "{failure}");
            assert!(matches!(report.services[1].outcome, Outcome::Stopped), "{report}");
        }
    });
}

// 35
#[test]
fn a_run_that_returns_ok_is_completed_is_logged_and_leaves_the_host_running() {
    in_time(|| {
        let (mut host, lines) = (Host::new(), listen());
        // The log has the lines of all tests. No other test has a service with this name.
        host.add("catalogue", worker(|_| Ok(())));
        host.add("server", idle());
        host.start().unwrap();
        let line = lines.iter().find(|line| line.text == "service `catalogue` has completed").unwrap();
        assert_eq!((line.level, &*line.target), (Level::Info, "hosted::service"));
        let status = host.handle().services();
        assert_eq!((status[0].state, status[1].state), (ServiceState::Completed, ServiceState::Running));
        assert!(!host.handle().stopping().stop_requested());
        let report = host.stop(LIMIT).unwrap();
        assert_eq!(report.reason, StopReason::Requested);
        assert!(matches!(report.services[0].outcome, Outcome::Completed), "{report}");
    });
}

// 35
#[test]
fn a_host_ends_on_its_own_when_all_services_completed_or_are_ignored() {
    in_time(|| {
        let mut host = Host::new();
        host.add("cache", task(|_| Err("cold".into()))).on_failure(OnFailure::Ignore);
        host.add("migrate", task(|_| Ok(())));
        host.add("importer", worker(|ctx| Ok(ctx.wait_until_started()?)));
        host.add("statistics", worker(|_| panic!("none"))).on_failure(OnFailure::Ignore);
        let report = host.run_until(&StopToken::never()).unwrap();
        assert_eq!(report.reason, StopReason::AllCompleted);
        let words = |outcome: &Outcome| (matches!(outcome, Outcome::Completed), matches!(outcome, Outcome::Failed(_)));
        let words: Vec<_> = report.services.iter().map(|service| words(&service.outcome)).collect();
        assert_eq!(words, [(false, true), (true, false), (true, false), (false, true)], "{report}");
    });
}

// 35
#[test]
fn a_completion_can_stop_the_host_while_it_runs_and_while_it_starts() {
    in_time(|| {
        for blocks in [Phase::Run, Phase::Start] {
            let mut host = Host::new();
            host.add("server", idle());
            host.add("job", worker(|_| Ok(()))).on_completion(OnCompletion::StopHost);
            host.add("last", in_phase(blocks, |ctx| idle_phase(Phase::Run, ctx)));
            let report = host.run_until(&StopToken::never()).unwrap();
            assert_eq!(report.reason, StopReason::Completed("job".into()), "{report}");
            let [server, job, _] = &report.services[..] else { panic!("three services: {report}") };
            assert!(matches!((&server.outcome, &job.outcome), (Outcome::Stopped, Outcome::Completed)), "{report}");
        }
    });
}

// 35
#[test]
fn a_clean_stop_or_a_failure_is_not_a_completion_that_stops_the_host() {
    in_time(|| {
        let mut host = Host::new();
        host.add("completes", idle()).on_completion(OnCompletion::StopHost);
        let broken = host.add("broken", worker(|_| Err("no".into())));
        broken.on_completion(OnCompletion::StopHost).on_failure(OnFailure::Ignore);
        host.add("last", idle());
        let events = host.events();
        host.start().unwrap();
        while !matches!(events.recv().unwrap().kind, EventKind::Failed(_)) {}
        host.handle().request_stop();
        assert_eq!(host.wait(), StopReason::Requested);
        assert_eq!(host.stop(LIMIT).unwrap().reason, StopReason::Requested);
    });
}
