//! Guarantees 165 to 168: the time from a stop request until the host stops its services.

use crate::support::log::{Level, record};
use crate::support::{LIMIT, MS, SECOND, idle, in_phase, in_time, next, stopped, waits};
use crossbeam_channel::{Receiver, bounded};
use hosted::testing::ManualClock;
use hosted::{
    Context, Event, EventKind, Host, HostHandle, HostState, OnCompletion, Phase, Report, Restart, ServiceState,
    StopReason, group, worker,
};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The drain of every host in this file.
const TEN: Duration = Duration::from_secs(10);

/// What the host says of its stop, in order.
fn story(events: &Receiver<Event>) -> Vec<String> {
    let word = |event: Event| match event.kind {
        EventKind::Draining { time, reason } => Some(format!("draining for {time:?}: {reason}")),
        EventKind::HostStopping { reason } => Some(format!("stopping: {reason}")),
        EventKind::Stopping => Some(format!("asked {}", event.service.unwrap())),
        _ => None,
    };
    events.try_iter().filter_map(word).collect()
}

/// A host on a manual clock that has started, with a thread that stops it on request.
struct Draining {
    time: ManualClock,
    handle: HostHandle,
    events: Receiver<Event>,
    stopper: JoinHandle<Report>,
}

impl Draining {
    fn new(add: impl FnOnce(&mut Host)) -> Self {
        let time = ManualClock::new();
        let mut host = Host::with_clock(time.clock());
        host.drain(TEN);
        add(&mut host);
        let (handle, events) = (host.handle(), host.events());
        host.start().unwrap();
        let stop = move || {
            host.wait();
            host.stop(LIMIT).unwrap_or_else(|error| error.report().clone())
        };
        Draining { time, handle, events, stopper: std::thread::spawn(stop) }
    }

    /// Waits until the owner of the host drains. No service sleeps by the clock.
    fn drains(&self) {
        self.time.wait_for_sleepers(1);
    }

    /// Waits for the end of the stop, and returns what the host said.
    fn ends(self) -> Vec<String> {
        in_time(move || self.stopper.join()).unwrap();
        story(&self.events)
    }
}

const REQUESTED: &str = "draining for 10s: a stop was requested";

// 165
#[test]
fn after_a_request_the_services_run_on_for_the_time_of_the_drain() {
    let lines = record();
    let drained = Draining::new(|host| _ = host.add("api", idle()));
    assert!(drained.handle.is_ready());
    drained.handle.request_stop();
    assert!(!drained.handle.is_ready() && drained.handle.is_live(), "at once");
    drained.drains();
    drained.time.advance(TEN - MS);
    assert_eq!(drained.handle.state(), HostState::Stopping);
    assert_eq!(drained.handle.services()[0].state, ServiceState::Running);
    assert_eq!(story(&drained.events), [REQUESTED]);
    drained.time.advance(MS);
    assert_eq!(drained.ends(), ["stopping: a stop was requested", "asked api"]);
    let found = lines.containing("draining for 10.00 s before the services are stopped: a stop was requested");
    assert!(found.iter().any(|line| line.level == Level::Info && line.target == "hosted::host"), "{found:?}");
}

// 165
#[test]
fn a_stop_without_a_request_is_the_request_and_drains() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    host.drain(TEN).add("api", idle());
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    let stopper = std::thread::spawn(move || {
        host.stop(LIMIT).unwrap();
        host.stop(LIMIT).unwrap(); // which has nothing to do, and does not drain again
    });
    time.wait_for_sleepers(1);
    assert!(!handle.is_ready());
    assert_eq!(story(&events), [REQUESTED]);
    time.advance(TEN);
    in_time(move || stopper.join()).unwrap();
    assert_eq!(story(&events), ["stopping: a stop was requested", "asked api"]);
}

// 165
#[test]
fn the_drain_begins_at_the_request_and_a_late_stop_waits_only_for_the_rest() {
    for (late, rest) in [(4 * SECOND, Some("draining for 6s: a stop was requested")), (TEN, None), (2 * TEN, None)] {
        let time = ManualClock::new();
        let mut host = Host::with_clock(time.clock());
        host.drain(TEN).add("api", idle());
        let (handle, events) = (host.handle(), host.events());
        host.start().unwrap();
        handle.request_stop();
        time.advance(late); // nobody has called `stop` yet
        let stopper = std::thread::spawn(move || host.stop(LIMIT).map(drop).unwrap());
        if rest.is_some() {
            time.wait_for_sleepers(1);
            time.advance(TEN - late);
        }
        in_time(move || stopper.join()).unwrap();
        let expected = ["stopping: a stop was requested", "asked api"];
        assert_eq!(story(&events), rest.into_iter().chain(expected).collect::<Vec<_>>());
    }
}

// 166
#[test]
fn another_reason_to_stop_ends_the_drain_at_once() {
    type Add = fn(&mut Host, Receiver<()>);
    let cases: [(&str, Add); 5] = [
        ("a second request", |host, go| {
            host.add(
                "asks",
                worker(move |ctx: &Context| {
                    _ = go.recv();
                    ctx.host().request_stop();
                    waits(ctx)
                }),
            );
        }),
        ("a failure", |host, go| {
            host.add("fails", worker(move |_: &Context| Err(go.recv().unwrap_err().into())));
        }),
        ("a failure in a group", |host, go| {
            host.add(
                "crew",
                group(move |crew| {
                    let go = go.clone();
                    crew.add("fails", worker(move |_: &Context| Err(go.recv().unwrap_err().into())));
                    Ok(())
                }),
            );
        }),
        ("a completion", |host, go| {
            host.add("completes", worker(move |_: &Context| Ok(_ = go.recv()))).on_completion(OnCompletion::StopHost);
        }),
        ("the last exit", |host, go| {
            host.add("completes", worker(move |_: &Context| Ok(_ = go.recv())));
        }),
    ];
    for (name, add) in cases {
        let (go, wait) = bounded::<()>(0);
        let drained = Draining::new(|host| {
            add(host, wait);
            if name != "the last exit" {
                host.add("api", idle());
            }
        });
        drained.handle.request_stop();
        drained.drains();
        assert_eq!(story(&drained.events)[0], REQUESTED, "{name}");
        drop(go);
        let story = drained.ends(); // although nobody moves the clock
        assert!(story.contains(&"stopping: a stop was requested".to_owned()), "{name}: {story:?}");
    }
}

// 166
#[test]
fn a_second_request_before_the_stop_leaves_no_drain() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    host.drain(TEN).add("api", idle());
    let events = host.events();
    host.start().unwrap();
    host.handle().request_stop();
    host.handle().request_stop();
    in_time(move || host.stop(LIMIT).map(drop)).unwrap();
    assert_eq!(story(&events), ["stopping: a stop was requested", "asked api"]);
}

// 166
#[test]
fn a_restart_and_an_ignored_failure_do_not_end_the_drain() {
    let (go, wait) = bounded::<()>(0);
    let (fail, failing) = bounded::<()>(0);
    let drained = Draining::new(|host| {
        let fails =
            move |ctx: &Context| if ctx.restarts() == 0 { Err(failing.recv().unwrap_err().into()) } else { waits(ctx) };
        host.add("restarts", worker(fails)).restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
        host.add("ignored", worker(move |_: &Context| Err(wait.recv().unwrap_err().into())))
            .on_failure(hosted::OnFailure::Ignore);
    });
    drained.handle.request_stop();
    drained.drains();
    drop((go, fail));
    let (mut failed, mut started) = (false, false);
    while !failed || !started {
        match next(&drained.events).kind {
            EventKind::Failed(_) => failed = true,
            EventKind::Started if drained.handle.services()[0].restarts == 1 => started = true,
            _ => {}
        }
    }
    assert_eq!(drained.handle.services()[0].state, ServiceState::Running);
    drained.time.wait_for_sleepers(1); // the owner still drains
    drained.time.advance(TEN);
    let mut story = drained.ends();
    story.retain(|word| word != "asked ignored"); // it stopped on its own
    assert_eq!(story, ["stopping: a stop was requested", "asked restarts"]);
}

// 167
#[test]
fn a_host_does_not_drain_unless_a_request_stops_it_while_it_runs() {
    type Stop = fn(Host);
    let started: [(&str, Stop); 5] = [
        ("a timeout of zero", |mut host| _ = host.stop(Duration::ZERO)),
        ("a timeout of zero after a request", |mut host| {
            host.handle().request_stop();
            _ = host.stop(Duration::ZERO);
            host.stop(LIMIT).unwrap(); // the shutdown has begun, so it is too late for a drain
        }),
        ("a drop", drop),
        ("a drop after a request", |host| {
            host.handle().request_stop();
            drop(host);
        }),
        ("forever, but it has no drain", |mut host| {
            host.drain(Duration::ZERO);
            host.stop(LIMIT).unwrap();
        }),
    ];
    for (name, stop) in started {
        let mut host = Host::with_clock(ManualClock::new().clock());
        host.drain(TEN).add("api", idle());
        let events = host.events();
        host.start().unwrap();
        in_time(move || stop(host)); // nobody moves its clock
        assert_eq!(story(&events), ["stopping: a stop was requested", "asked api"], "{name}");
    }
    // A host that has nothing to serve yet, or no reason to wait.
    type Add = fn(&mut Host);
    let run: [(&str, Add); 4] = [
        ("a request in the start", |host| {
            host.add(
                "asks",
                in_phase(Phase::Start, |ctx| {
                    ctx.host().request_stop();
                    Ok(())
                }),
            );
            host.add("never started", idle());
        }),
        ("a failed start", |host| _ = host.add("fails", in_phase(Phase::Start, |_| Err("broken".into())))),
        ("a failure", |host| _ = host.add("fails", worker(|_| Err("broken".into())))),
        ("every service has completed", |host| _ = host.add("completes", worker(|_| Ok(())))),
    ];
    for (name, add) in run {
        let mut host = Host::with_clock(ManualClock::new().clock());
        add(host.drain(TEN));
        let events = host.events();
        in_time(move || _ = host.run_until(&hosted::StopToken::never()));
        assert!(!story(&events).iter().any(|word| word.starts_with("draining")), "{name}");
    }
}

// 167
#[test]
fn the_host_of_a_group_does_not_drain() {
    let drained = Draining::new(|host| {
        host.add(
            "crew",
            group(|crew| {
                crew.drain(100 * TEN).add("api", idle());
                Ok(())
            }),
        );
    });
    drained.handle.request_stop();
    drained.drains();
    drained.time.advance(TEN);
    let story = drained.ends();
    assert_eq!(story.iter().filter(|word| word.starts_with("draining")).collect::<Vec<_>>(), [REQUESTED]);
}

// 168
#[test]
fn the_drain_is_not_part_of_the_timeout_nor_of_the_report() {
    let (tell, told) = bounded(1);
    let mut host = Host::new();
    host.drain(100 * MS).add(
        "api",
        worker(move |ctx| {
            ctx.wait();
            Ok(tell.send(ctx.stop_deadline())?)
        }),
    );
    let events = host.events();
    host.start().unwrap();
    let before = Instant::now();
    let report = host.stop(LIMIT).unwrap();
    let after = Instant::now();
    // The deadline of a service is 5 % before the end.
    let deadline = told.recv().unwrap().unwrap();
    assert!(deadline >= before + 100 * MS + LIMIT * 95 / 100 && deadline <= after + LIMIT);
    assert!(after - before >= 100 * MS + report.took, "the report is about the shutdown alone");
    assert_eq!(report.reason, StopReason::Requested);
    let draining = events.try_iter().find_map(|event| match event.kind {
        EventKind::Draining { time, .. } => Some(time),
        _ => None,
    });
    assert!(draining.is_some_and(|time| time <= 100 * MS));
}

// 165
#[test]
fn run_until_drains_after_its_token_is_stopped() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    host.drain(TEN).add("api", idle());
    let (handle, events) = (host.handle(), host.events());
    let source = hosted::StopSource::new();
    let token = source.token();
    let runner = std::thread::spawn(move || host.run_until(&token).map(drop).unwrap());
    in_time({
        let handle = handle.clone();
        move || {
            while !handle.is_ready() {
                std::thread::yield_now()
            }
        }
    });
    source.request_stop();
    time.wait_for_sleepers(1);
    assert!(!handle.is_ready());
    time.advance(TEN);
    in_time(move || runner.join()).unwrap();
    assert_eq!(story(&events), [REQUESTED, "stopping: a stop was requested", "asked api"]);
    // A token that is stopped before the start interrupts the start, so there is nothing to drain.
    let mut host = Host::with_clock(time.clock());
    host.drain(TEN).add("api", idle());
    in_time(move || host.run_until(&stopped()).map(drop)).unwrap();
}
