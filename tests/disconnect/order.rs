//! Forced disconnect with many services: a service keeps its connection until its stop request and its time have
//! passed.
#![cfg(all(feature = "disconnect", target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::LIMIT;
use crate::support::hanging::{STOP, TIME, add, hung_up, report};
use crate::support::sockets::connected;
use crossbeam_channel::{Sender, bounded};
use hosted::{Context, EventKind, Host, Result, StopToken, group, task, worker};
use std::io::Read;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Adds unresponsive services, each after the one before: the last receives its stop request first. Returns their tokens too.
fn add_unresponsive(host: &mut Host, count: usize) -> (Sender<()>, mpsc::Receiver<StopToken>) {
    let ((release, held), (sender, tokens)) = (bounded::<()>(0), mpsc::channel());
    for place in 0..count {
        let (held, sender) = (held.clone(), sender.clone());
        let run = move |ctx: &Context| {
            sender.send(ctx.stop_token().clone())?;
            _ = held.recv();
            Ok(())
        };
        host.add(format!("stuck {place}"), worker(run));
    }
    (release, tokens)
}

// 87
#[test]
fn a_service_without_a_stop_request_keeps_its_connection() {
    let ((ours, peer), mut host) = (connected(), Host::new());
    let run = move |ctx: &Context| {
        let waker = ours.try_clone()?;
        let _wake = ctx.on_stop(move || _ = waker.shutdown(std::net::Shutdown::Read));
        assert_eq!((&ours).read(&mut [0])?, 0);
        Ok(())
    };
    host.add("database", worker(run)).disconnect_when_hung();
    // The services receive their requests one after another, each with half of the remaining time: the database with a
    // sixteenth.
    let (release, _tokens) = add_unresponsive(&mut host, 4);
    host.start().unwrap();
    let stopped = host.stop(STOP);
    assert!(report(&stopped).services[0].disconnected.is_empty(), "{stopped:?}");
    drop(release);
    host.stop(LIMIT).unwrap();
    drop(peer);
}

#[test]
fn all_services_receive_their_stop_request_even_if_inspecting_takes_all_the_time() {
    let (mut host, mut peers) = (Host::new(), Vec::new());
    let (release, tokens) = add_unresponsive(&mut host, 8);
    for reader in 0..300 {
        let (mut ours, peer) = connected();
        peers.push(peer);
        add(&mut host, &format!("reader {reader}"), move || ours.read(&mut [0])).stop_timeout(Duration::MAX);
    }
    host.start().unwrap();
    let tokens: Vec<_> = tokens.iter().take(8).collect();
    _ = host.stop(Duration::from_millis(200));
    assert!(tokens.iter().all(StopToken::stop_requested));
    drop((release, peers));
    _ = host.stop(LIMIT);
}

#[test]
fn a_service_that_receives_its_stop_request_late_has_time_before_it_is_disconnected() {
    let ((sender, deadline), mut host) = (mpsc::channel(), Host::new());
    let run = move |ctx: &Context| {
        ctx.wait();
        Ok(sender.send(ctx.stop_deadline())?)
    };
    host.add("database", worker(run)).disconnect_when_hung();
    let (release, _tokens) = add_unresponsive(&mut host, 1);
    host.start().unwrap();
    let before = Instant::now();
    // Half of the time is both the hold of the unresponsive service and what the forced disconnect leaves.
    host.stop(Duration::from_millis(200)).unwrap_err();
    let deadline = deadline.recv_timeout(LIMIT).unwrap().unwrap();
    assert!(deadline >= before + Duration::from_millis(150), "{:?}", deadline - before);
    drop(release);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_group_that_stops_on_its_own_disconnects_within_the_time_of_its_host() {
    let ((ours, peer), mut host) = (connected(), Host::new());
    let (fail, failing) = mpsc::channel::<()>();
    let (mut stream, mut failing) = (Some(ours), Some(failing));
    let events = host.events();
    host.add(
        "feeds",
        group(move |host| {
            let (stream, failing) = (stream.take().expect("once"), failing.take().expect("once"));
            add(host, "reader", move || (&stream).read(&mut [0])).stop_timeout(Duration::MAX);
            host.add("failing", worker(move |_| -> Result { Err(failing.recv().unwrap_err().into()) }));
            Ok(())
        }),
    );
    host.start().unwrap();
    drop(fail);
    let stopping = |event: &hosted::Event| matches!(event.kind, EventKind::HostStopping { .. });
    while !stopping(&events.recv_timeout(LIMIT).unwrap()) {} // the group's, in its own 25 seconds
    let stopped = host.stop(STOP);
    let rows = &report(&stopped).services;
    assert_eq!(rows[1].disconnected.len(), 1, "{stopped:?}");
    assert!(hung_up(&peer));
}

#[test]
fn a_service_is_disconnected_at_its_own_stop_timeout() {
    let ((mut ours, peer), mut host) = (connected(), Host::new());
    add(&mut host, "reader", move || ours.read(&mut [0]));
    host.start().unwrap();
    let (done, stopped) = mpsc::channel();
    std::thread::spawn(move || done.send(host.stop(Duration::MAX)));
    let report = stopped.recv_timeout(LIMIT).unwrap().unwrap();
    assert_eq!(report.services[0].disconnected.len(), 1, "{report}");
    assert!(hung_up(&peer));
}

#[test]
fn a_second_stop_disconnects_a_service_that_the_first_had_no_time_for() {
    let ((mut ours, peer), mut host) = (connected(), Host::new());
    add(&mut host, "reader", move || ours.read(&mut [0]));
    host.start().unwrap();
    let error = host.stop(Duration::ZERO).unwrap_err();
    assert!(error.report().services[0].disconnected.is_empty() && !hung_up(&peer), "{error}");
    host.stop(LIMIT).unwrap();
    assert!(hung_up(&peer));
}

#[test]
fn the_stop_after_a_failed_start_disconnects_too() {
    let ((mut ours, peer), mut host) = (connected(), Host::new());
    add(&mut host, "reader", move || ours.read(&mut [0]));
    host.add("failing", task(|_| Err("no".into())));
    let error = host.stop_timeout(LIMIT).start().unwrap_err();
    assert_eq!(error.report().services[0].disconnected.len(), 1, "{error}");
    assert!(hung_up(&peer));
}

// 73, 86
#[test]
fn a_repeated_callback_that_hangs_on_a_socket_is_disconnected_and_named() {
    let ((ours, peer), (ready, registered)) = (connected(), mpsc::channel());
    let run = move |ctx: &Context| {
        let (stream, (sender, receiver)) = (ours.try_clone()?, mpsc::channel());
        let _cancel = ctx.on_stop_repeating(Duration::from_millis(10), move || {
            _ = sender.send(());
            _ = (&stream).read(&mut [0]); // an answer that never comes
        });
        ready.send(())?;
        Ok(receiver.recv()?) // the drop of the guard then waits for the call
    };
    let mut host = Host::new();
    host.add("client", worker(run)).disconnect_when_hung().stop_timeout(TIME);
    host.start().unwrap();
    registered.recv_timeout(LIMIT).unwrap();
    let report = host.stop(LIMIT).unwrap();
    let hung = &report.services[0].disconnected;
    assert!(hung[0].thread.starts_with("client:on_stop (tid "), "{report}");
    assert!(hung_up(&peer));
}
