//! Guarantee 37: snapshots. (The tests of events are in `events`, those of user code and locks in `locks`.)

use crate::support::{Gate, LIMIT, by_phase, idle, idle_phase, in_time, states};
use crossbeam_channel::{TryRecvError, bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{
    Context, Event, EventKind, Host, HostHandle, Phase, Restart, Service, ServiceState, StopToken, group, task, worker,
};
use std::thread;
use std::time::Duration;

// 37
#[test]
fn a_snapshot_waits_neither_for_a_slow_start_nor_for_a_slow_stop() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        let at_gate = gate.clone();
        host.add("quick", idle());
        host.add("slow", by_phase(move |phase, ctx| if phase == Phase::Run { Ok(()) } else { at_gate.pass(ctx) }));
        let handle = host.handle();
        let owner = thread::spawn(move || host.run_until(&StopToken::never()));
        assert_eq!(gate.arrival(), "slow");
        assert_eq!(states(&handle), [ServiceState::Running, ServiceState::Starting]);
        gate.let_one_through();
        assert_eq!(gate.arrival(), "slow");
        assert_eq!(states(&handle), [ServiceState::Running, ServiceState::Stopping]);
        handle.request_stop();
        gate.let_one_through();
        owner.join().unwrap().unwrap();
        assert_eq!(states(&handle), [ServiceState::Stopped, ServiceState::Completed]);
    });
}

// 37
#[test]
fn a_snapshot_during_a_backoff_shows_restarting_and_the_last_error() {
    in_time(|| {
        let (time, (sender, receiver)) = (ManualClock::new(), unbounded());
        let mut host = Host::with_clock(time.clock());
        let run = move |ctx: &Context| {
            if ctx.restarts() == 0 {
                return Err("cable cut".into());
            }
            sender.send(())?;
            idle_phase(Phase::Run, ctx)
        };
        let hour = Duration::from_secs(3600);
        host.add("a", worker(run)).restart(Restart::on_failure().backoff(hour..=hour));
        host.start().unwrap();
        time.wait_for_sleepers(1);
        let [a] = &host.handle().services()[..] else { panic!("one service") };
        assert_eq!((&*a.name, a.state, a.restarts, a.errors), ("a", ServiceState::Restarting, 0, 1));
        assert!(a.last_error.as_deref().is_some_and(|error| error.contains("cable cut")), "{a:?}");
        time.advance(hour);
        receiver.recv().unwrap();
        let [a] = &host.handle().services()[..] else { panic!("one service") };
        assert_eq!((a.state, a.restarts, a.errors), (ServiceState::Running, 1, 1));
        host.stop(LIMIT).unwrap();
    });
}

// 37
#[test]
fn restarts_are_counted_even_if_a_stop_comes_between_two_runs() {
    in_time(|| {
        for _ in 0..500 {
            let (mut host, (sender, lives)) = (Host::new(), unbounded());
            let run = move |ctx: &Context| {
                sender.send(ctx.restarts())?;
                Err("again".into())
            };
            let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO);
            host.add("a", worker(run)).restart(restart);
            host.start().unwrap();
            let first = lives.recv().unwrap();
            _ = host.stop(LIMIT); // its last run may end before or after the stop request
            let lives: Vec<_> = std::iter::once(first).chain(lives.try_iter()).collect();
            assert!(lives.iter().copied().eq(0..lives.len() as u32), "{lives:?}");
        }
    });
}

// 37
#[test]
fn a_snapshot_shows_a_chain_of_services_as_it_was_at_one_moment() {
    in_time(|| {
        let rank = |state: &ServiceState| match state {
            ServiceState::Waiting => 0,
            ServiceState::Starting => 1,
            ServiceState::Running => 2,
            ServiceState::Stopping => 3,
            _ => 4,
        };
        for _ in 0..50 {
            let mut host = Host::new();
            (0..6).for_each(|n| _ = host.add(format!("s{n}"), idle()));
            let handle = host.handle();
            let (end, over) = bounded::<()>(0);
            let observer = thread::spawn(move || {
                while over.is_empty() && over.try_recv() != Err(TryRecvError::Disconnected) {
                    let ranks: Vec<_> = states(&handle).iter().map(rank).collect();
                    let fits = |two: &[i32]| (two[1] == 0 || two[0] >= 2) && (two[0] < 3 || two[1] == 4);
                    assert!(ranks.windows(2).all(fits), "{ranks:?}");
                }
            });
            host.start().unwrap();
            host.stop(LIMIT).unwrap();
            drop(end);
            observer.join().unwrap();
        }
    });
}

// 37
#[test]
#[cfg(target_os = "linux")]
fn a_snapshot_shows_what_a_service_is_blocked_in_only_while_it_starts_or_stops() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        let at_gate = gate.clone();
        host.add("a", idle());
        let service = move |phase, ctx: &Context| {
            if phase == Phase::Run { idle_phase(phase, ctx) } else { at_gate.pass(ctx) }
        };
        host.add("b", by_phase(service));
        let events = host.events();
        let (handle, blocked) = (host.handle(), |handle: &HostHandle| {
            handle.services().iter().map(|service| service.blocked_in.is_some()).collect::<Vec<_>>()
        });
        let owner = thread::spawn(move || host.run_until(&StopToken::never()));
        gate.arrival();
        assert_eq!(blocked(&handle), [false, true]);
        gate.let_one_through();
        while !matches!(events.recv().unwrap().kind, EventKind::HostStarted { .. }) {}
        assert_eq!(blocked(&handle), [false, false]);
        handle.request_stop();
        gate.arrival();
        assert_eq!(blocked(&handle), [false, true]);
        gate.let_one_through();
        owner.join().unwrap().unwrap();
        assert_eq!(blocked(&handle), [false, false]);
    });
}

/// A group of one service, then so many services waiting for the gate that a snapshot takes time, then another group.
fn two_groups(first: Box<dyn Service>, second: Box<dyn Service>, gate: &Gate) -> Host {
    let with = |child: Box<dyn Service>| {
        let mut child = Some(child);
        group(move |inside| Ok(_ = inside.add("child", child.take().ok_or("only once")?)))
    };
    let (mut host, gate) = (Host::new(), gate.clone());
    host.add("gate", task(move |ctx| gate.pass(ctx)));
    host.add("first", with(first)).after::<&str>([]);
    (0..3_000).for_each(|n| _ = host.add(format!("between{n}"), idle()).after(["gate"]));
    host.add("second", with(second)).after::<&str>([]);
    host
}

// 37
#[test]
fn a_snapshot_shows_the_children_of_all_groups_as_they_were_at_one_moment() {
    in_time(|| {
        for _ in 0..50 {
            let (gate, (go, going), (pass_on, passed)) = (Gate::new(), bounded::<()>(0), bounded::<()>(0));
            let (first, second) = (worker(move |_| Ok(going.recv()?)), worker(move |_| Ok(passed.recv()?)));
            let mut host = two_groups(Box::new(first), Box::new(second), &gate);
            let (handle, events) = (host.handle(), host.events());
            let owner = thread::spawn(move || host.run_until(&StopToken::never()));
            let is_group = |event: &Event| matches!(event.service.as_deref(), Some("first" | "second"));
            let started = |event: &Event| matches!(event.kind, EventKind::Started) && is_group(event);
            assert_eq!(events.iter().filter(started).take(2).count(), 2);
            let observer = thread::spawn(move || {
                loop {
                    let services = handle.services();
                    let child = |name| services.iter().find(|service| &*service.name == name).unwrap().state;
                    let both = (child("first/child"), child("second/child"));
                    assert!(both.1 != ServiceState::Completed || both.0 == ServiceState::Completed, "{both:?}");
                    if both.1 == ServiceState::Completed {
                        return handle;
                    }
                }
            });
            let first_is_done = |event: &Event| {
                matches!(event.kind, EventKind::Completed) && event.service.as_deref() == Some("first/child")
            };
            go.send(()).unwrap();
            events.iter().find(first_is_done).unwrap();
            pass_on.send(()).unwrap(); // so the second completes after the first
            observer.join().unwrap().request_stop();
            gate.let_one_through();
            owner.join().unwrap().unwrap();
        }
    });
}
