//! The levels and targets of log lines, which are stable: part of guarantees 33, 48, 49 and 51.

use crate::support::log::{Level, Line, listen};
use crate::support::{LIMIT, alone, idle};
use crossbeam_channel::bounded;
use hosted::testing::ManualClock;
use hosted::{Context, Host, OnCompletion, Queue, Restart, every, worker};
use std::time::Duration;

/// Returns the lines that are logged while `f` runs: level, target without `hosted::`, text. No other test may log
/// meanwhile.
fn lines_of(f: impl FnOnce()) -> Vec<(Level, String, String)> {
    let lines = listen();
    f();
    let target = |line: &Line| line.target.strip_prefix("hosted::").unwrap_or("not ours").to_owned();
    lines.try_iter().map(|line| (line.level, target(&line), line.text)).collect()
}

/// Returns the lines of this target that contain `part`, as `LEVEL text`, in order.
fn of(lines: &[(Level, String, String)], target: &str, part: &str) -> Vec<String> {
    let lines = lines.iter().filter(|line| line.1 == target && line.2.contains(part));
    lines.map(|(level, _, text)| format!("{level} {text}")).collect()
}

/// Removes the time at the end.
fn timeless(lines: Vec<String>) -> Vec<String> {
    let until_in = |line: String| line.split_once(" in ").map(|(before, _)| format!("{before} in")).unwrap_or(line);
    lines.into_iter().map(until_in).collect()
}

// 33
#[test]
fn lines_of_the_host_and_completions_are_info_and_transitions_are_debug() {
    alone!();
    let lines = lines_of(|| {
        let mut host = Host::new();
        host.add("idle", idle());
        host.add("done", worker(|ctx| Ok(ctx.wait_until_started()?))).on_completion(OnCompletion::StopHost);
        host.start().unwrap();
        host.wait();
        host.stop(LIMIT).unwrap();
    });
    let host =
        ["INFO starting 2 services", "INFO started in", "INFO stopping: service `done` completed", "INFO stopped in"];
    assert_eq!(timeless(of(&lines, "host", "")), host);
    let of_service = |name| of(&lines, "service", &format!("service `{name}`"));
    assert_eq!(
        of_service("idle"),
        [
            "DEBUG service `idle` is starting",
            "DEBUG service `idle` has started",
            "DEBUG service `idle` is stopping",
            "DEBUG service `idle` has stopped"
        ]
    );
    assert_eq!(
        of_service("done"),
        [
            "DEBUG service `done` is starting",
            "DEBUG service `done` has started",
            "DEBUG service `done` is stopping",
            "INFO service `done` has completed"
        ]
    );
    assert_eq!(lines.len(), 12, "there must be no other lines: {lines:#?}");
}

// 33
#[test]
fn a_restart_and_a_reported_error_are_warnings() {
    alone!();
    let (sender, receiver) = bounded(1);
    let run = move |ctx: &Context| {
        if ctx.restarts() == 0 {
            return Err("not yet".into());
        }
        ctx.report_error("a hiccup");
        sender.send(())?;
        ctx.wait();
        Ok(())
    };
    let lines = lines_of(|| {
        let mut host = Host::new();
        let restart = Restart::on_failure().backoff(Duration::from_millis(1)..=Duration::from_millis(1));
        host.add("flaky", worker(run)).restart(restart);
        host.start().unwrap();
        receiver.recv_timeout(LIMIT).unwrap();
        host.stop(LIMIT).unwrap();
    });
    let restart = ["WARN service `flaky` failed while running: not yet; restarting in 1 ms (restart 1)"];
    assert_eq!(of(&lines, "service", "not yet"), restart);
    assert_eq!(of(&lines, "service", "hiccup"), ["WARN service `flaky` reported an error: a hiccup"]);
}

// 33
#[test]
fn ticks_are_trace_and_missed_or_failed_ticks_are_warnings() {
    alone!();
    let lines = lines_of(|| {
        let clock = ManualClock::new();
        let mut host = Host::with_clock(clock.clock());
        host.add("pulse", every(Duration::from_secs(1), |_| Err("no pulse".into())));
        host.start().unwrap();
        clock.wait_for_sleepers(1);
        clock.advance(Duration::from_secs(3));
        clock.wait_for_sleepers(1);
        host.stop(LIMIT).unwrap();
    });
    assert_eq!(of(&lines, "tick", ""), ["WARN service `pulse` missed 2 ticks", "TRACE service `pulse`: tick started"]);
    assert_eq!(of(&lines, "service", "no pulse"), ["WARN service `pulse` reported an error: no pulse"]);
}

// 33
#[test]
fn jobs_are_trace_and_failed_or_remaining_jobs_are_warnings() {
    alone!();
    let lines = lines_of(|| {
        let queue = Queue::bounded(10);
        let mut host = Host::new();
        let job = |late: bool, ctx: &Context| {
            if !late {
                return Err("no such address".into());
            }
            ctx.wait();
            Ok(())
        };
        host.add("mailer", queue.consumer(job));
        for late in [false, true, false, false] {
            queue.push(late).unwrap();
        }
        host.start().unwrap();
        _ = host.stop(Duration::from_secs(1)); // the second job takes all the time of the consumer
        host.stop(LIMIT).unwrap();
    });
    let taken = "TRACE service `mailer`: job started";
    let left = "WARN service `mailer` reached its stop deadline with 2 jobs still queued";
    assert_eq!(of(&lines, "queue", ""), [taken, taken, left]);
    assert_eq!(of(&lines, "service", "address"), ["WARN service `mailer` reported an error: no such address"]);
}

// 49, 51
#[test]
fn an_exceeded_stop_timeout_is_a_warning_and_a_hung_service_an_error() {
    alone!();
    let lines = lines_of(|| {
        let (release, held) = bounded::<()>(0);
        let unresponsive = move |_: &Context| {
            _ = held.recv();
            Ok(())
        };
        let mut host = Host::new();
        host.add("first", idle());
        host.add("stuck", worker(unresponsive)).stop_timeout(Duration::from_millis(1));
        host.start().unwrap();
        host.stop(Duration::from_secs(1)).unwrap_err();
        drop(release);
        host.stop(LIMIT).unwrap();
    });
    let timed_out = of(&lines, "service", "stopping its dependencies now");
    assert!(timed_out[0].starts_with("WARN service `stuck` has not stopped "), "{timed_out:?}");
    let hung = of(&lines, "service", "did not stop");
    assert!(hung.len() == 1 && hung[0].starts_with("ERROR service `stuck` did not stop: thread stuck "), "{hung:?}");
    assert!(hung[0].contains(" still in `run` after "), "{hung:?}");
    let left = of(&lines, "host", "1 service did not stop");
    assert!(left.len() == 1 && left[0].starts_with("INFO stopped after "), "{lines:#?}");
}

// 33
#[test]
fn a_line_has_the_text_of_its_event_and_no_name_can_forge_another_line() {
    alone!();
    let mut said = Vec::new();
    let lines = lines_of(|| {
        let mut host = Host::new();
        let events = host.events();
        host.add("x\ny", worker(|ctx| Err(format!("{}\r\nERROR forged", ctx.name()).into())));
        _ = host.start(); // the failure may come before the end of the start
        _ = host.stop(LIMIT);
        said = events.try_iter().filter(|event| event.service.is_some()).map(|event| event.to_string()).collect();
    });
    let mut logged: Vec<_> = lines.iter().filter(|line| line.1 == "service").map(|line| line.2.clone()).collect();
    // A thread can emit its event before another thread, and log it after that thread.
    logged.sort();
    said.sort();
    assert_eq!(logged, said);
    assert!(lines.iter().all(|line| line.2.chars().all(|letter| !letter.is_control())), "{lines:#?}");
    assert!(logged.contains(&r"service `x\ny` failed while running: x\ny\r\nERROR forged".to_owned()), "{logged:#?}");
}
