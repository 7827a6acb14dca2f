//! Guarantees 155 and 156: a service reports that it is degraded, and that it is healthy again.

use crate::support::log::{Level, record};
use crate::support::{LIMIT, SECOND, idle, in_time};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::{Context, Event, EventKind, Health, Host, HostHandle, Restart, Result, StopSource, worker};
use std::time::Instant;

/// What a test makes a service do.
enum Do {
    Degraded(&'static str),
    Healthy,
    Fail,
    Complete,
}

/// A service that does what the test sends, and reports when it has done it.
fn puppet() -> (impl hosted::Service, Puppet) {
    let (sender, orders) = unbounded::<Do>();
    let (done, reports) = bounded(0);
    let run = move |ctx: &Context| -> Result {
        loop {
            match ctx.recv(&orders)? {
                Do::Degraded(reason) => ctx.degraded(reason),
                Do::Healthy => ctx.healthy(),
                Do::Fail => return Err("broken".into()),
                Do::Complete => return Ok(()),
            }
            done.send(())?;
        }
    };
    (worker(run), Puppet { sender, reports })
}

struct Puppet {
    sender: Sender<Do>,
    reports: Receiver<()>,
}

impl Puppet {
    /// Returns when the service has done it.
    fn does(&self, order: Do) {
        self.sender.send(order).unwrap();
        self.reports.recv_timeout(LIMIT).expect("the service does what it is to do");
    }
}

fn health(handle: &HostHandle, service: &str) -> Health {
    handle.services().into_iter().find(|status| &*status.name == service).unwrap().health
}

fn reason(handle: &HostHandle, service: &str) -> Option<String> {
    match health(handle, service) {
        Health::Degraded { reason, .. } => Some(reason),
        _ => None,
    }
}

/// The health events of `service` so far.
fn story(events: &Receiver<Event>, service: &str) -> Vec<String> {
    let of_service = events.try_iter().filter(|event| event.service.as_deref() == Some(service));
    let word = |event: Event| match event.kind {
        EventKind::Degraded { reason } => Some(reason),
        EventKind::Healthy => Some("healthy".to_owned()),
        _ => None,
    };
    of_service.filter_map(word).collect()
}

// 155
#[test]
fn a_degraded_service_makes_the_host_unready_until_it_is_healthy_again() {
    let (service, puppet) = puppet();
    let mut host = Host::new();
    host.add("broker", service);
    let handle = host.handle();
    host.start().unwrap();
    assert_eq!(health(&handle, "broker"), Health::Healthy);
    let before = Instant::now();
    puppet.does(Do::Degraded("no route"));
    let Health::Degraded { reason, since } = health(&handle, "broker") else { panic!("it is degraded") };
    assert!(reason == "no route" && since >= before && since <= Instant::now());
    assert!(!handle.is_ready() && handle.is_live() && handle.has_started(), "it is alive, but cannot take work");
    puppet.does(Do::Healthy);
    assert!(handle.is_ready());
    assert_eq!(health(&handle, "broker"), Health::Healthy);
    host.stop(LIMIT).unwrap();
}

// 155
#[test]
fn only_a_change_of_health_or_reason_is_an_event_and_a_log_line() {
    let lines = record();
    let (service, puppet) = puppet();
    let mut host = Host::new();
    host.add("changing-health", service);
    let events = host.events();
    host.start().unwrap();
    puppet.does(Do::Healthy); // it is healthy already
    puppet.does(Do::Degraded(""));
    let first = health(&host.handle(), "changing-health");
    for reason in ["", "no route", "no route", "no\u{202e} password"] {
        puppet.does(Do::Degraded(reason));
    }
    let Health::Degraded { reason, since } = health(&host.handle(), "changing-health") else { panic!() };
    assert_eq!(first, Health::Degraded { reason: String::new(), since }, "degraded since the first report");
    assert_eq!(reason, "no\\u{202e} password", "a reason cannot change the direction of the text around it");
    puppet.does(Do::Healthy);
    puppet.does(Do::Healthy);
    assert_eq!(story(&events, "changing-health"), ["", "no route", "no\\u{202e} password", "healthy"]);
    let found = lines.containing("`changing-health`").into_iter();
    let found: Vec<_> = found.filter(|line| line.level < Level::Debug).map(|line| (line.level, line.text)).collect();
    let warn = |reason| (Level::Warn, format!("service `changing-health` is degraded: {reason}"));
    let again = (Level::Info, "service `changing-health` is healthy again".to_owned());
    assert_eq!(found, [warn(""), warn("no route"), warn("no\\u{202e} password"), again]);
    host.stop(LIMIT).unwrap();
}

// 156
#[test]
fn a_service_stays_degraded_during_the_backoff_and_the_next_start_clears_it() {
    let (service, puppet) = puppet();
    let time = hosted::testing::ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    host.add("retrying", service).restart(Restart::on_failure().backoff(SECOND..=SECOND));
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    puppet.does(Do::Degraded("no route"));
    puppet.sender.send(Do::Fail).unwrap();
    time.wait_for_sleepers(1); // the backoff
    assert_eq!(reason(&handle, "retrying").as_deref(), Some("no route"), "it still cannot do its work");
    assert!(!handle.is_ready());
    time.advance(SECOND);
    let starts = |event: &Event| matches!(event.kind, EventKind::Started);
    assert!(in_time(move || events.iter().filter(starts).nth(1)).is_some());
    assert!(handle.is_ready(), "the new run has reported nothing");
    host.stop(LIMIT).unwrap();
}

// 156
#[test]
fn a_service_that_has_exited_is_not_degraded_and_cannot_become_it() {
    let (keep, kept) = bounded(1);
    let (service, puppet) = puppet();
    let mut host = Host::new();
    host.add("lends-its-context", worker(move |ctx| Ok(keep.send(ctx.clone())?)));
    host.add("completes", service);
    host.add("idle", idle());
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    puppet.does(Do::Degraded("no route"));
    puppet.sender.send(Do::Complete).unwrap();
    let completed = |event: &Event| matches!(event.kind, EventKind::Completed);
    assert!(in_time(move || events.iter().filter(completed).nth(1)).is_some());
    assert!(handle.is_ready(), "nobody needs its work any more");
    let late: Context = kept.recv().unwrap();
    late.degraded("a helper thread is late");
    assert_eq!(health(&handle, "lends-its-context"), Health::Healthy);
    assert!(handle.is_ready());
    host.stop(LIMIT).unwrap();
}

// 155
#[test]
fn without_a_host_a_degraded_service_is_logged() {
    let lines = record();
    let ctx = Context::new("degraded-alone", StopSource::new().token());
    ctx.degraded("no\nroute");
    ctx.healthy();
    let texts: Vec<_> = lines.containing("degraded-alone").into_iter().map(|line| line.text).collect();
    assert_eq!(texts, ["service `degraded-alone` is degraded: no\\nroute"]);
    assert!(ctx.host().is_live() && !ctx.host().is_ready() && !ctx.host().has_started());
}
