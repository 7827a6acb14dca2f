//! Options and groups that make no sense, and how `start` reacts to them.

use crate::support::{LIMIT, idle, in_time};
use crossbeam_channel::unbounded;
use hosted::{
    Cause, Context, Host, HostState, OnFailure, Outcome, Phase, Result, ServiceState, StopReason, StopToken, group,
    task, worker,
};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);

#[test]
fn after_may_name_a_service_twice_and_may_name_none() {
    in_time(|| {
        let mut host = Host::new();
        host.add("a", idle());
        host.add("b", idle()).after(["a", "a"]).after(["a"]).after::<&str>([]);
        host.add("c", idle()).after::<&str>([]);
        host.start().unwrap();
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn a_stack_size_of_zero_is_the_minimum_and_one_too_large_is_an_error_of_start() {
    in_time(|| {
        let mut host = Host::new();
        host.add("small", worker(|_| Ok(()))).stack_size(0);
        host.run_until(&StopToken::never()).unwrap();
        for bytes in [usize::MAX, usize::MAX / 2] {
            let mut host = Host::new();
            host.add("large", worker(|_| Ok(()))).stack_size(bytes);
            let error = host.start().unwrap_err();
            assert!(error.to_string().contains("cannot start a thread for service `large`"), "{error}");
            assert!(matches!(error.report().services[0].outcome, Outcome::NeverStarted), "{error}");
        }
    });
}

/// A host whose service waits in `start` for a service that starts later.
fn waits_in_its_start(wait: fn(&Context) -> Result) -> Host {
    let mut host = Host::new();
    host.add("waits", task(wait));
    host
}

#[test]
fn a_start_that_waits_for_a_dependent_ends_at_a_stop_request_or_its_timeout() {
    let waits: [fn(&Context) -> Result; 3] = [
        |ctx| Ok(ctx.wait_until_started()?),
        |ctx| Ok(ctx.sleep(Duration::MAX)?),
        |ctx| {
            ctx.wait();
            Ok(ctx.check()?)
        },
    ];
    for wait in waits {
        in_time(move || {
            let mut host = waits_in_its_start(wait);
            let (handle, events) = (host.handle(), host.events());
            let starter = std::thread::spawn(move || host.start());
            events.iter().find(|event| event.service.is_some()).unwrap();
            handle.request_stop();
            let error = starter.join().unwrap().unwrap_err();
            assert!(error.failures().is_empty(), "{error}");
            let mut host = waits_in_its_start(wait);
            host.start_timeout(SHORT);
            let error = host.start().unwrap_err();
            let [late] = error.failures() else { panic!("expected one late service: {error}") };
            assert_eq!((late.service(), late.phase()), ("waits", Phase::Start));
            assert!(matches!(late.cause(), Cause::TimedOut(SHORT)), "{error}");
        });
    }
}

#[test]
fn the_name_of_a_groups_child_may_be_taken_and_both_are_shown_under_it() {
    in_time(|| {
        let mut host = Host::new();
        host.add("a/b", worker(|_| Err("the outer".into()))).on_failure(OnFailure::Ignore);
        let fill = |inside: &mut Host| {
            inside.add("b", idle());
            Ok(())
        };
        host.add("a", group(fill));
        host.start().unwrap();
        let names: Vec<String> = host.handle().services().iter().map(|status| status.name.to_string()).collect();
        assert_eq!(names, ["a/b", "a", "a/b"]);
        let report = host.stop(LIMIT).unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::Failed(_)), "{report}");
        assert!(matches!(report.services[2].outcome, Outcome::Stopped), "{report}");
    });
}

/// Returns the results of a group that `fill` fills, and of its host.
fn filled(fill: impl FnMut(&mut Host) -> Result + Send + 'static) -> (StopReason, Outcome, String) {
    let mut host = Host::new();
    host.add("group", group(fill));
    match host.run_until(&StopToken::never()) {
        Ok(mut report) => (report.reason, report.services.remove(0).outcome, String::new()),
        Err(error) => {
            let text = error.failures()[0].to_string();
            (error.report().reason.clone(), error.report().services[0].outcome.clone(), text)
        }
    }
}

#[test]
fn an_empty_group_completes() {
    let (reason, outcome, _) = in_time(|| filled(|_| Ok(())));
    assert_eq!(reason, StopReason::AllCompleted);
    assert!(matches!(outcome, Outcome::Completed), "{outcome:?}");
}

#[test]
fn a_fill_that_starts_or_stops_its_host_fails_the_group() {
    let fills: [fn(&mut Host) -> Result; 2] = [
        |inside| {
            inside.start()?;
            Ok(())
        },
        |inside| {
            inside.stop(LIMIT)?;
            Ok(())
        },
    ];
    for fill in fills {
        let adds = move |inside: &mut Host| {
            inside.add("child", idle());
            fill(inside)
        };
        let (reason, outcome, text) = in_time(move || filled(adds));
        assert_eq!(reason, StopReason::Failed("group".into()));
        assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
        assert!(text.contains("a host can run only once"), "{text}");
    }
}

#[test]
fn a_fill_that_replaces_its_host_makes_a_group_without_visible_children() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let fill = move |inside: &mut Host| {
            *inside = Host::new();
            inside.add("child", idle());
            sender.send(inside.handle())?;
            Ok(())
        };
        host.add("group", group(fill));
        host.start().unwrap();
        let inside = receiver.recv().unwrap();
        assert_eq!((inside.state(), inside.services()[0].state), (HostState::Started, ServiceState::Running));
        assert_eq!(host.handle().services().len(), 1);
        host.stop(LIMIT).unwrap();
        assert_eq!(inside.state(), HostState::Stopped);
    });
}
