//! What the host reports in unusual orders: a service that is ready after the stop has begun, and the number of hung
//! services.

use crate::support::{LIMIT, unresponsive};
use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Context, EventKind, Host, Result, Service, ServiceState, task};
use std::thread;
use std::time::{Duration, Instant};

/// Its `start` waits for the stop request. Its `run` sends the state that the host shows for it.
struct ReadyTooLate {
    starting: Sender<()>,
    seen: Sender<ServiceState>,
}

impl Service for ReadyTooLate {
    fn start(&mut self, ctx: &Context) -> Result {
        self.starting.send(())?;
        ctx.wait();
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        Ok(self.seen.send(ctx.host().services()[0].state)?)
    }
}

#[test]
fn a_service_that_becomes_ready_after_its_stop_request_is_shown_as_stopping() {
    let (starting, started) = bounded(1);
    let (seen, states) = bounded(1);
    let mut host = Host::new();
    host.add("late", ReadyTooLate { starting, seen });
    let handle = host.handle();
    let starts = thread::spawn(move || host.start().is_err());
    started.recv_timeout(LIMIT).unwrap();
    handle.request_stop();
    assert_eq!(states.recv_timeout(LIMIT), Ok(ServiceState::Stopping));
    assert!(starts.join().unwrap());
}

/// Returns the number of hung services in the last event that the host has stopped.
fn hung(events: &Receiver<hosted::Event>) -> Option<usize> {
    let stopped = events.try_iter().filter_map(|event| match event.kind {
        EventKind::HostStopped { hung, .. } => Some(hung),
        _ => None,
    });
    stopped.last()
}

#[test]
fn the_stopped_event_of_a_host_has_the_number_of_hung_services() {
    let mut host = Host::new();
    host.add("done", task(|_| Ok(())));
    let releases = ["stuck", "stuck too"].map(|name| {
        let (service, release) = unresponsive();
        host.add(name, service);
        release
    });
    host.start().unwrap();
    let events = host.events();
    host.stop(Duration::from_millis(500)).unwrap_err();
    assert_eq!(hung(&events), Some(2));
    drop(releases);
    host.stop(LIMIT).unwrap();
    assert_eq!(hung(&events), Some(0));
}

#[test]
fn another_stop_says_so_if_the_hung_services_have_stopped_before_it() {
    let mut host = Host::new();
    let (service, release) = unresponsive();
    host.add("stuck", service);
    host.start().unwrap();
    let (events, handle) = (host.events(), host.handle());
    host.stop(Duration::from_millis(100)).unwrap_err();
    assert_eq!(hung(&events), Some(1));
    drop(release);
    let until = Instant::now() + LIMIT;
    while handle.services()[0].state != ServiceState::Stopped {
        assert!(Instant::now() < until, "the service has exited, but is still shown as hung");
        thread::sleep(Duration::from_millis(1));
    }
    host.stop(LIMIT).unwrap();
    assert_eq!(hung(&events), Some(0));
    host.stop(LIMIT).unwrap();
    assert_eq!(hung(&events), None, "once is enough");
}
