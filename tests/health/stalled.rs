//! Guarantees 159 to 162: which services are stalled, and when they have recovered. On a manual clock.

use crate::support::log::{Level, record};
use crate::support::{Gate, LIMIT, SECOND, by_phase, in_time, next, waits};
use crossbeam_channel::{Receiver, never, unbounded};
use hosted::testing::ManualClock;
use hosted::{
    Context, Event, EventKind, Health, Host, HostHandle, OnFailure, Phase, Queue, Restart, Result, Service,
    ServiceStatus, every, group, worker,
};

/// The limit of every service in this file.
const TEN: std::time::Duration = std::time::Duration::from_secs(10);

fn health(handle: &HostHandle, service: &str) -> Health {
    handle.services().into_iter().find(|status| &*status.name == service).unwrap().health
}

fn is_stalled(handle: &HostHandle, service: &str) -> bool {
    matches!(health(handle, service), Health::Stalled { .. })
}

/// Waits for the next event of `service` about a stall.
fn next_event(events: &Receiver<Event>, service: &str) -> EventKind {
    let (events, service) = (events.clone(), service.to_owned());
    let is_it = move |event: &Event| {
        event.service.as_deref() == Some(&service)
            && matches!(event.kind, EventKind::Stalled(_) | EventKind::Recovered | EventKind::Restarting { .. })
    };
    in_time(move || events.iter().find(is_it)).unwrap().kind
}

/// The stalls so far, by the names of the services.
fn stalls(events: &Receiver<Event>) -> Vec<String> {
    let stalled = events.try_iter().filter(|event| matches!(event.kind, EventKind::Stalled(_)));
    stalled.filter_map(|event| event.service.map(|name| name.to_string())).collect()
}

/// Returns when the monitor has looked at the present time, and sleeps. Nobody else sleeps by the clock.
fn looked(time: &ManualClock) {
    time.wait_for_sleepers(1);
}

/// Returns when every service waits for something, but for the `others`.
fn all_wait(handle: &HostHandle, others: &[&str]) {
    let limit = std::time::Instant::now() + LIMIT;
    let waits = |status: &ServiceStatus| {
        // Without `/proc`, nobody can tell. A test that fails there finds a service between two waits.
        others.contains(&&*status.name) || status.blocked_now().is_none_or(|wait| wait != "running")
    };
    while !handle.services().iter().all(waits) {
        assert!(std::time::Instant::now() < limit, "a service never waits");
        std::thread::yield_now();
    }
}

/// A service that waits for the test in its `run`, in code that the library does not know, and then waits for its stop.
fn at_gate(gate: &Gate) -> impl Service {
    let gate = gate.clone();
    worker(move |ctx| {
        gate.pass(ctx)?;
        waits(ctx)
    })
}

// 159, 158
#[test]
fn a_service_without_a_sign_of_life_is_stalled_until_it_shows_one() {
    let lines = record();
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    host.add("silent for a while", at_gate(&gate)).stalls_after(TEN);
    let (handle, events) = (host.handle(), host.events());
    let began = std::time::Instant::now();
    host.start().unwrap();
    gate.arrival();
    looked(&time);
    time.advance(TEN - SECOND / 1_000);
    looked(&time);
    assert!(handle.is_live() && handle.is_ready(), "the limit has not passed");
    time.advance(SECOND / 1_000);
    let EventKind::Stalled(thread) = next_event(&events, "silent for a while") else { panic!("it stalls first") };
    assert_eq!((thread.phase, thread.waited), (Phase::Run, TEN));
    let Health::Stalled { since } = health(&handle, "silent for a while") else { panic!("it is stalled") };
    assert!(since >= began && since <= std::time::Instant::now());
    assert!(!handle.is_live() && !handle.is_ready() && handle.has_started());
    gate.let_one_through();
    assert!(
        matches!(next_event(&events, "silent for a while"), EventKind::Recovered),
        "at once: nobody moves the clock"
    );
    assert_eq!(health(&handle, "silent for a while"), Health::Healthy);
    assert!(handle.is_live() && handle.is_ready());
    host.stop(LIMIT).unwrap();
    let found: Vec<_> =
        lines.containing("`silent for a while`").into_iter().filter(|line| line.level < Level::Debug).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].level, found[1].level), (Level::Warn, Level::Info));
    assert!(found[0].text.starts_with(
        "service `silent for a while` is stalled: no sign of life for 10.00 s; thread silent for a while"
    ));
    #[cfg(target_os = "linux")]
    assert!(found[0].text.ends_with(" is blocked in futex (a lock, condvar or channel)"), "{}", found[0].text);
    assert_eq!(found[1].text, "service `silent for a while` is no longer stalled");
}

// 159
#[test]
fn a_stalled_service_is_reported_once_however_long_it_takes() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    host.add("silent", at_gate(&gate)).stalls_after(TEN);
    let events = host.events();
    host.start().unwrap();
    gate.arrival();
    for _ in 0..10 {
        looked(&time);
        time.advance(TEN);
    }
    looked(&time);
    assert_eq!(stalls(&events), ["silent"]);
    gate.let_one_through();
    host.stop(LIMIT).unwrap();
}

// 160
#[test]
fn a_service_inside_a_wait_of_the_library_is_never_stalled() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    let mut add = |name: &'static str, service: Box<dyn Service>| {
        host.add(name, service).independent().stalls_after(TEN);
    };
    let run = |f: fn(&Context) -> Result| Box::new(worker(f));
    let full = Queue::bounded(1);
    full.push(0).unwrap();
    let push = full.clone();
    add("wait", run(waits));
    add("receive", run(|ctx| Ok(ctx.recv(&never())?)));
    add("consumer", Box::new(Queue::<u32>::bounded(1).consumer(|_, _| Ok(()))));
    add("push", Box::new(worker(move |_| Ok(_ = push.push(1)))));
    add("other token", run(|ctx| Ok(_ = hosted::StopSource::linked([ctx.stop_token()]).token().wait_timeout(LIMIT))));
    add(
        "start of the others",
        run(|ctx| {
            ctx.wait_until_started()?;
            waits(ctx)
        }),
    );
    add(
        "group",
        Box::new(group(|host| {
            host.add("child", worker(waits)).stalls_after(TEN);
            Ok(())
        })),
    );
    #[cfg(feature = "io")]
    add(
        "accept",
        run(|ctx| {
            _ = ctx.accept(&std::net::TcpListener::bind("127.0.0.1:0")?);
            Ok(())
        }),
    );
    #[cfg(all(feature = "io", target_os = "linux"))]
    {
        let mut child = std::process::Command::new("sleep").arg("3600").spawn().unwrap();
        add("child process", Box::new(worker(move |ctx| Ok(_ = ctx.wait_child(&mut child, LIMIT)?))));
    }
    // Shows that the monitor has looked.
    add("silent", Box::new(at_gate(&gate)));
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    gate.arrival();
    all_wait(&handle, &["silent"]);
    for _ in 0..12 {
        looked(&time);
        time.advance(TEN / 2);
    }
    looked(&time);
    assert_eq!(stalls(&events), ["silent"]);
    gate.let_one_through();
    assert!(matches!(next_event(&events, "silent"), EventKind::Recovered));
    assert!(handle.is_live());
    full.close();
    host.stop(LIMIT).unwrap();
}

// 160
#[test]
fn a_service_that_sleeps_or_ticks_by_the_clock_is_not_stalled() {
    let time = ManualClock::new();
    let (ticked, ticks) = unbounded();
    let mut host = Host::with_clock(time.clock());
    host.add("sleeps", worker(|ctx| Ok(ctx.sleep(1_000 * TEN)?))).stalls_after(TEN);
    host.add("ticks", every(20 * TEN, move |_| Ok(ticked.send(())?))).stalls_after(TEN);
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    for _ in 0..3 {
        for _ in 0..20 {
            time.wait_for_sleepers(3); // the two services and the monitor
            time.advance(TEN);
        }
        next(&ticks);
    }
    time.wait_for_sleepers(3);
    assert!(handle.is_live());
    assert_eq!(stalls(&events), [""; 0]);
    host.stop(LIMIT).unwrap();
}

// 161
#[test]
fn each_job_each_tick_each_message_and_each_heartbeat_is_a_sign_of_life() {
    type Step = Box<dyn Fn(&Context) -> Result + Send>;
    const STEPS: u32 = 20;
    /// Services that never wait in the library, because there is always something to do.
    fn busy(step: &Gate) -> Vec<(&'static str, Box<dyn Service>)> {
        let at = |gate: &Gate| -> Step {
            let gate = gate.clone();
            Box::new(move |ctx| {
                gate.pass(ctx)?;
                Ok(ctx.check()?)
            })
        };
        let (queue, jobs, ticks) = (Queue::bounded(100), at(step), at(step));
        (0..=STEPS).for_each(|job| queue.push(job).unwrap());
        let (sender, messages) = unbounded();
        (0..=STEPS).for_each(|message| sender.send(message).unwrap());
        let (receives, beats, pushes, room) = (at(step), at(step), at(step), Queue::bounded(1_000));
        vec![
            ("jobs", Box::new(queue.consumer(move |_: u32, ctx| jobs(ctx)))),
            // Each tick takes longer than a period, so the next tick is always due.
            ("ticks", Box::new(every(SECOND, move |ctx| ticks(ctx)).immediately())),
            (
                "delayed ticks",
                Box::new({
                    let step = at(step);
                    every(SECOND / 1_000_000, move |ctx| step(ctx)).fixed_delay().immediately().fail_fast()
                }),
            ),
            (
                "messages",
                Box::new(worker(move |ctx| {
                    loop {
                        _ = (ctx.recv(&messages)?, sender.len());
                        receives(ctx)?;
                    }
                })),
            ),
            (
                "heartbeats",
                Box::new(worker(move |ctx| {
                    loop {
                        beats(ctx)?;
                        std::thread::scope(|scope| _ = scope.spawn(|| ctx.heartbeat()));
                    }
                })),
            ),
            (
                "pushes",
                Box::new(worker(move |ctx| {
                    loop {
                        pushes(ctx)?;
                        room.push(1)?;
                    }
                })),
            ),
        ]
    }
    let step = Gate::new();
    let names = busy(&step).into_iter().map(|(name, _)| name);
    for name in names {
        let (time, step) = (ManualClock::new(), Gate::new());
        let service = busy(&step).into_iter().find(|service| service.0 == name).unwrap().1;
        let mut host = Host::with_clock(time.clock());
        host.add(name, service).stalls_after(TEN);
        let (handle, events) = (host.handle(), host.events());
        host.start().unwrap();
        for _ in 0..STEPS {
            step.arrival();
            looked(&time);
            time.advance(TEN * 6 / 10);
            // A delayed tick sleeps by the clock as well. It is let through when the monitor has looked.
            looked(&time);
            assert!(!is_stalled(&handle, name), "{name}");
            step.let_one_through();
            if name == "delayed ticks" {
                time.wait_for_sleepers(2);
                time.advance(SECOND);
            }
        }
        step.arrival();
        for _ in 0..3 {
            looked(&time);
            time.advance(TEN);
        }
        assert!(matches!(next_event(&events, name), EventKind::Stalled(_)), "{name}: one step takes too long");
        let stopper = std::thread::spawn(move || host.stop(LIMIT));
        let is_asked = |event: &Event| matches!(event.kind, EventKind::Stopping);
        in_time(move || events.iter().find(is_asked)).unwrap();
        step.let_one_through();
        _ = stopper.join().unwrap(); // some of them call it an error that they cannot continue
    }
}

// 162
#[test]
fn only_run_is_watched_and_only_until_its_stop_is_requested() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    let (in_phases, silent) = (gate.clone(), Gate::new());
    let service = by_phase(move |phase, ctx| match phase {
        Phase::Run => ctx.wait_until_started().map_err(Into::into), // and it completes
        _ => in_phases.pass(ctx),
    });
    host.add("slow", service).stalls_after(TEN);
    // Its stop is requested while it runs.
    host.add("ignores its stop", at_gate(&silent)).independent().stalls_after(TEN);
    let (handle, events) = (host.handle(), host.events());
    let starter = std::thread::spawn(move || {
        host.start().unwrap();
        host
    });
    let long = || {
        for _ in 0..3 {
            looked(&time);
            time.advance(TEN);
        }
        looked(&time);
    };
    assert_eq!(gate.arrival(), "slow");
    silent.arrival();
    long(); // `start` takes long
    assert_eq!(stalls(&events), ["ignores its stop"]);
    gate.let_one_through();
    assert_eq!(gate.arrival(), "slow");
    long(); // `stop` takes long
    let mut host = starter.join().unwrap();
    assert!(!is_stalled(&handle, "slow"));
    let stopping = events.clone();
    let stopper = std::thread::spawn(move || host.stop(LIMIT));
    let is_asked = |event: &Event| {
        matches!(event.kind, EventKind::Stopping) && event.service.as_deref() == Some("ignores its stop")
    };
    assert!(in_time(move || stopping.iter().find(is_asked)).is_some());
    assert!(!handle.is_live(), "it has stalled before, and still hangs");
    gate.let_one_through();
    silent.let_one_through();
    stopper.join().unwrap().unwrap();
    assert!(handle.is_live());
    assert_eq!(stalls(&events), [""; 0]);
}

// 162
#[test]
fn a_stop_request_before_the_limit_leaves_the_stall_to_the_stop_timeout() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    host.add("ignores its stop", at_gate(&gate)).stalls_after(TEN);
    let events = host.events();
    host.start().unwrap();
    gate.arrival();
    let stopping = events.clone();
    let stopper = std::thread::spawn(move || {
        let result = host.stop(LIMIT);
        (host, result)
    });
    let is_asked = |event: &Event| matches!(event.kind, EventKind::Stopping);
    assert!(in_time(move || stopping.iter().find(is_asked)).is_some());
    for _ in 0..3 {
        looked(&time);
        time.advance(TEN);
    }
    looked(&time);
    gate.let_one_through();
    stopper.join().unwrap().1.unwrap();
    assert_eq!(stalls(&events), [""; 0]);
}

// 162
#[test]
fn the_end_of_a_run_ends_its_stall_and_the_next_run_is_watched_again() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    let at_gate = gate.clone();
    let fails = move |ctx: &Context| {
        at_gate.pass(ctx)?;
        Err("broken".into())
    };
    host.add("failing", worker(fails)).stalls_after(TEN).restart(Restart::on_failure().backoff(SECOND..=SECOND));
    host.add(
        "degraded",
        worker(|ctx| {
            ctx.degraded("no route");
            waits(ctx)
        }),
    );
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    for _ in 0..3 {
        gate.arrival();
        looked(&time);
        time.advance(TEN);
        assert!(matches!(next_event(&events, "failing"), EventKind::Stalled(_)));
        gate.let_one_through();
        // Its return is a sign of life. The monitor may see it before the run is over for the registry.
        let mut follows = next_event(&events, "failing");
        if matches!(follows, EventKind::Recovered) {
            follows = next_event(&events, "failing");
        }
        assert!(matches!(follows, EventKind::Restarting { .. }), "{follows:?}");
        assert!(handle.is_live() && health(&handle, "failing") == Health::Healthy, "nothing hangs in a backoff");
        time.wait_for_sleepers(2);
        time.advance(SECOND);
    }
    gate.arrival();
    host.stop(std::time::Duration::ZERO).unwrap_err();
    gate.let_one_through();
    host.stop(LIMIT).unwrap_err();
    assert!(matches!(health(&handle, "degraded"), Health::Healthy));
}

// 159
#[test]
fn a_service_that_is_degraded_and_stalled_is_degraded_again_when_it_recovers() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    let at_gate = gate.clone();
    host.add(
        "both",
        worker(move |ctx| {
            ctx.degraded("no route");
            at_gate.pass(ctx)?;
            waits(ctx)
        }),
    )
    .stalls_after(TEN);
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    gate.arrival();
    time.advance(TEN);
    assert!(matches!(next_event(&events, "both"), EventKind::Stalled(_)));
    assert!(is_stalled(&handle, "both") && !handle.is_ready() && !handle.is_live());
    gate.let_one_through();
    assert!(matches!(next_event(&events, "both"), EventKind::Recovered));
    assert!(matches!(health(&handle, "both"), Health::Degraded { .. }));
    assert!(!handle.is_ready() && handle.is_live());
    host.stop(LIMIT).unwrap();
}

// 158
#[test]
fn a_stalled_child_makes_the_outer_host_not_live_even_if_its_failure_is_ignored() {
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    let in_child = gate.clone();
    let fill = move |host: &mut Host| {
        host.add("child", at_gate(&in_child)).stalls_after(TEN);
        Ok(())
    };
    host.add("feed", group(fill)).stalls_after(TEN).on_failure(OnFailure::Ignore);
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    gate.arrival();
    looked(&time);
    time.advance(TEN);
    assert!(matches!(next_event(&events, "feed/child"), EventKind::Stalled(_)));
    assert!(!handle.is_live() && handle.is_ready(), "the failure of its group is ignored, its stall is not");
    assert_eq!(health(&handle, "feed"), Health::Healthy, "the group waits for its services");
    gate.let_one_through();
    assert!(matches!(next_event(&events, "feed/child"), EventKind::Recovered));
    host.stop(LIMIT).unwrap();
}

// 159
#[test]
fn a_limit_of_zero_is_an_error_of_start_and_an_endless_limit_is_never_over() {
    let mut host = Host::new();
    host.add("impatient", worker(|_| Ok(()))).stalls_after(std::time::Duration::ZERO);
    let text = host.start().unwrap_err().to_string();
    assert!(text.contains("`impatient`") && text.contains("stalls_after"), "{text}");
    let (time, gate) = (ManualClock::new(), Gate::new());
    let mut host = Host::with_clock(time.clock());
    host.add("patient", at_gate(&gate)).stalls_after(std::time::Duration::MAX);
    let events = host.events();
    host.start().unwrap();
    gate.arrival();
    time.advance(1_000_000 * TEN);
    gate.let_one_through();
    host.stop(LIMIT).unwrap();
    assert_eq!(stalls(&events), [""; 0]);
}
