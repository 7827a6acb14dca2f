//! Guarantee 36, from outside: a handle requests the stop of its host. Neither delays the other.

use crate::support::{LIMIT, idle};
use crossbeam_channel::bounded;
use hosted::{Context, Host, HostState, ServiceState, StopReason, StopToken, worker};

fn idle_host() -> Host {
    let mut host = Host::new();
    host.add("idle", idle());
    host
}

// 36
#[test]
fn a_stop_request_from_a_handle_ends_the_wait_but_reaches_no_service() {
    let mut host = idle_host();
    host.start().unwrap();
    let handle = host.handle();
    std::thread::spawn(move || handle.request_stop()).join().unwrap();
    assert_eq!(host.wait(), StopReason::Requested);
    assert_eq!(host.handle().state(), HostState::Stopping);
    assert_eq!(host.handle().services()[0].state, ServiceState::Running, "the owner requests its stop");
    assert_eq!(host.stop(LIMIT).unwrap().reason, StopReason::Requested);
}

// 36
#[test]
fn a_stop_requested_from_a_handle_on_another_thread_ends_a_run() {
    let (sender, started) = bounded(1);
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        ctx.wait_until_started()?;
        sender.send(())?;
        ctx.wait();
        Ok(())
    };
    host.add("idle", worker(run));
    let handle = host.handle();
    let requester = std::thread::spawn(move || {
        started.recv_timeout(LIMIT).unwrap();
        handle.request_stop();
        handle.request_stop(); // a second request changes nothing
    });
    let report = host.run_until(&StopToken::never()).unwrap();
    assert_eq!(report.reason, StopReason::Requested);
    requester.join().unwrap();
}

// 36
#[test]
fn a_stop_request_from_a_callback_of_stopping_does_not_deadlock() {
    let mut host = idle_host();
    host.start().unwrap();
    let handle = host.handle();
    let (again, seen) = (host.handle(), bounded(1));
    let _guard = handle.stopping().on_stop(move || {
        again.request_stop();
        let state = (again.state(), again.services().len(), again.stopping().stop_requested());
        _ = seen.0.send(state);
    });
    handle.request_stop();
    assert_eq!(seen.1.recv_timeout(LIMIT).unwrap(), (HostState::Stopping, 1, true));
    host.stop(LIMIT).unwrap();
}

// 36
#[test]
fn a_stop_requested_from_a_handle_before_the_start_stops_the_coming_run() {
    let mut host = idle_host();
    host.handle().request_stop();
    let report = host.run_until(&StopToken::never()).unwrap();
    assert_eq!(report.reason, StopReason::Requested);
    assert_eq!(host.handle().services()[0].state, ServiceState::Waiting);
    assert_eq!(host.handle().state(), HostState::Stopped);
}

#[test]
fn debug_shows_the_state_of_the_host() {
    let mut host = idle_host();
    let handle = host.handle();
    assert_eq!(format!("{handle:?}"), "HostHandle { state: New, .. }");
    host.start().unwrap();
    assert_eq!(format!("{handle:?}"), "HostHandle { state: Started, .. }");
    host.stop(LIMIT).unwrap();
    assert_eq!(format!("{handle:?}"), "HostHandle { state: Stopped, .. }");
}

// 36
#[test]
fn dropping_a_handle_stops_nobody() {
    let mut host = idle_host();
    drop(host.handle());
    host.start().unwrap();
    let handle = host.handle();
    drop((handle.clone(), handle));
    assert_eq!(host.handle().state(), HostState::Started);
    assert!(!host.handle().stopping().stop_requested());
    host.stop(LIMIT).unwrap();
}

// 36
#[test]
fn a_handle_outlives_its_host() {
    let mut host = idle_host();
    host.start().unwrap();
    let handle = host.handle();
    let stopping = handle.stopping();
    drop(host);
    assert!(stopping.stop_requested());
    assert_eq!(handle.state(), HostState::Stopped);
    let services = handle.services();
    assert_eq!((&*services[0].name, services[0].state), ("idle", ServiceState::Stopped));
    handle.request_stop();
    assert_eq!(handle.state(), HostState::Stopped);
    let (sender, receiver) = bounded(1);
    let _late = handle.stopping().on_stop(move || sender.send(()).unwrap());
    receiver.try_recv().unwrap(); // after the stop the callback runs at once, on this thread
}

// 36
#[test]
fn a_handle_outlives_a_host_that_never_started() {
    let host = idle_host();
    let handle = host.handle();
    drop(host);
    assert_eq!(handle.services()[0].state, ServiceState::Waiting);
    handle.request_stop();
    assert!(handle.stopping().stop_requested());
}
