//! Guarantee 38: events.

use crate::support::log::listen;
use crate::support::{LIMIT, by_phase, idle, idle_phase, in_time};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::{Context, Event, EventKind, Host, Phase, Restart, StopToken, worker};
use std::sync::Arc;
use std::time::Duration;

/// The name of what a service did.
fn word(event: &Event) -> &'static str {
    match event.kind {
        EventKind::Starting => "starting",
        EventKind::Started => "started",
        EventKind::Stopping => "stopping",
        EventKind::Stopped => "stopped",
        EventKind::Completed => "completed",
        EventKind::Failed(_) => "failed",
        EventKind::Restarting { .. } => "restarting",
        EventKind::Reported { .. } => "reported",
        EventKind::Lagged { .. } => "missed",
        EventKind::HostStarting { .. } => "host starting",
        EventKind::HostStarted { .. } => "host started",
        EventKind::HostStopping { .. } => "host stopping",
        EventKind::HostStopped { .. } => "host stopped",
        _ => "else",
    }
}

/// Returns what happened to `service`, in order.
fn story(events: &Receiver<Event>, service: Option<&str>) -> Vec<&'static str> {
    events.try_iter().filter(|event| event.service.as_deref() == service).map(|event| word(&event)).collect()
}

/// Waits until this has happened to `service`.
fn listen_for(what: &str, service: &str, events: &Receiver<Event>) {
    events.iter().find(|event| word(event) == what && event.service.as_deref() == Some(service)).unwrap();
}

// 38
#[test]
fn the_events_of_one_service_and_of_the_host_are_in_order() {
    in_time(|| {
        let mut host = Host::new();
        let (services, whole, heard) = (host.events(), host.events(), host.events());
        let run = |ctx: &Context| {
            ctx.report_error("a hiccup");
            if ctx.restarts() == 0 { Err("cable cut".into()) } else { idle_phase(Phase::Run, ctx) }
        };
        let none = Duration::ZERO..=Duration::ZERO;
        host.add("a", worker(run)).restart(Restart::on_failure().backoff(none));
        let (go, gate) = bounded::<()>(0);
        let completes = move |_: &Context| Ok(gate.recv()?);
        host.add("b", worker(completes));
        host.add("c", idle());
        host.start().unwrap();
        (0..2).for_each(|_| listen_for("reported", "a", &heard));
        go.send(()).unwrap();
        listen_for("completed", "b", &heard);
        host.stop(LIMIT).unwrap();
        let all: Vec<Event> = services.try_iter().collect();
        let of = |name: &str| all.iter().filter(|event| event.service.as_deref() == Some(name)).map(word).collect();
        let (a, b, c): (Vec<_>, Vec<_>, Vec<_>) = (of("a"), of("b"), of("c"));
        let first = ["starting", "started", "reported", "restarting"];
        let second = ["starting", "started", "reported", "stopping", "stopped"];
        assert_eq!(a, [&first[..], &second[..]].concat());
        assert_eq!(b, ["starting", "started", "stopping", "completed"]);
        assert_eq!(c, ["starting", "started", "stopping", "stopped"]);
        assert_eq!(story(&whole, None), ["host starting", "host started", "host stopping", "host stopped"]);
    });
}

// 38
#[test]
fn a_step_is_announced_before_it_is_taken() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let events = host.events();
        let service = by_phase(move |phase, ctx| {
            idle_phase(phase, ctx)?; // in `run`: until the stop request
            Ok(sender.send((phase, story(&events, Some("a"))))?)
        });
        host.add("a", service);
        host.start().unwrap();
        host.stop(LIMIT).unwrap();
        let seen: Vec<_> = receiver.try_iter().collect();
        let steps =
            [(Phase::Start, vec!["starting"]), (Phase::Run, vec!["started", "stopping"]), (Phase::Stop, vec![])];
        assert_eq!(seen, steps);
    });
}

// 38
#[test]
fn a_service_in_its_stop_has_one_stopping_event_if_a_stop_is_requested() {
    in_time(|| {
        let (mut host, (sender, closing)) = (Host::new(), bounded(0));
        let events = host.events();
        let service = by_phase(move |phase, ctx| match phase {
            Phase::Stop => {
                sender.send(())?;
                ctx.wait();
                Ok(())
            }
            _ => Ok(()),
        });
        host.add("a", service);
        host.start().unwrap();
        closing.recv().unwrap();
        host.stop(LIMIT).unwrap();
        assert_eq!(story(&events, Some("a")), ["starting", "started", "stopping", "completed"]);
    });
}

/// A host with one service that reports a number of errors for each order, and then answers.
fn reporter(name: impl Into<Arc<str>>) -> (Host, Sender<u32>, Receiver<u32>) {
    let ((order, orders), (answer, answers)) = (bounded(0), bounded(0));
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        ctx.wait_until_started()?;
        while let Ok(times) = ctx.recv(&orders) {
            (0..times).for_each(|_| ctx.report_error("a hiccup"));
            answer.send(times)?;
        }
        Ok(())
    };
    host.add(name, worker(run));
    (host, order, answers)
}

// 38
#[test]
fn a_slow_subscriber_delays_nothing_keeps_1024_events_and_learns_how_many_it_missed() {
    in_time(|| {
        let (mut host, order, answers) = reporter("a");
        let events = host.events();
        host.start().unwrap();
        order.send(5_000).unwrap();
        answers.recv().unwrap(); // no event has been read meanwhile
        let kept: Vec<Event> = events.try_iter().collect();
        assert_eq!(kept.len(), 1_024);
        assert_eq!(
            kept[..4].iter().map(word).collect::<Vec<_>>(),
            ["host starting", "starting", "started", "host started"]
        );
        assert!(kept[4..].iter().all(|event| word(event) == "reported"));
        order.send(2).unwrap();
        answers.recv().unwrap();
        let next: Vec<Event> = events.try_iter().collect();
        assert_eq!(next.iter().map(word).collect::<Vec<_>>(), ["missed", "reported", "reported"]);
        assert!(matches!(next[0].kind, EventKind::Lagged { events } if events == 4 + 5_000 - 1_024), "{}", next[0]);
        assert_eq!(next[0].service, None);
        host.stop(LIMIT).unwrap();
    });
}

// 38
#[test]
fn each_subscription_receives_all_events_from_then_on() {
    in_time(|| {
        let (mut host, order, answers) = reporter("a");
        let (slow, first) = (host.events(), host.events());
        host.start().unwrap();
        order.send(3_000).unwrap(); // `slow` is full now, and so is `first`
        answers.recv().unwrap();
        let second = host.events();
        first.try_iter().for_each(drop);
        order.send(1).unwrap();
        answers.recv().unwrap();
        host.stop(LIMIT).unwrap();
        assert_eq!(story(&second, Some("a")), ["reported", "stopping", "stopped"]);
        assert_eq!(story(&first, Some("a")), ["reported", "stopping", "stopped"]);
        assert_eq!(slow.len(), 1_024);
        drop(host);
        assert!(first.recv().is_err(), "a subscription ends with its host");
    });
}

// 38
#[test]
fn a_dropped_subscription_delays_nothing_and_without_one_nothing_is_kept() {
    in_time(|| {
        let name: Arc<str> = "a".into(); // each stored event has a clone of it
        let (mut host, order, answers) = reporter(name.clone());
        host.start().unwrap();
        let report = |times| {
            order.send(times).unwrap();
            answers.recv().unwrap();
        };
        report(1);
        let held = Arc::strong_count(&name);
        report(5_000);
        assert_eq!(Arc::strong_count(&name), held, "events without a subscription are stored");
        let dead = host.events();
        report(500);
        assert_eq!(Arc::strong_count(&name), held + 500);
        drop(dead);
        report(5_000);
        assert_eq!(Arc::strong_count(&name), held, "events of a dropped subscription are stored");
        host.stop(LIMIT).unwrap();
    });
}

// 38
#[test]
fn log_lines_have_the_text_of_the_events() {
    in_time(|| {
        let (lines, mut host) = (listen(), Host::new());
        let events = host.events();
        let run = |ctx: &Context| {
            ctx.report_error("a hiccup");
            if ctx.restarts() == 0 { Err("cable cut".into()) } else { panic!("burnt down") }
        };
        let none = Duration::ZERO..=Duration::ZERO;
        host.add("twofold", worker(run)).restart(Restart::on_failure().backoff(none).give_up_after(1));
        host.run_until(&StopToken::never()).unwrap_err();
        let ours = |text: &String| text.contains("`twofold`");
        let mut logged: Vec<String> = lines.try_iter().map(|line| line.text).filter(ours).collect();
        let mut emitted: Vec<String> = events.try_iter().map(|event| event.to_string()).filter(ours).collect();
        logged.sort(); // lines are logged without a lock, so their order between threads varies
        emitted.sort();
        assert_eq!(logged, emitted);
        assert!(logged.len() >= 8, "{logged:?}");
    });
}
