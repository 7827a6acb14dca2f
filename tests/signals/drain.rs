//! Guarantee 169: signals while a host drains.

use crate::support::child::programs::{Server, forever, stay};
use crate::support::child::{AN_HOUR, Child, Program, leave, say};
use hosted::{Context, EventKind, Host, Result, task, worker};
use std::process::ExitCode;

pub(crate) const PROGRAMS: &[Program] = &[
    ("draining", || run(|host| _ = host.add("server", Server), "draining")),
    ("draining, then stuck", || run(|host| _ = host.add("stuck", worker(stay)), "draining")),
    ("starting with a drain", || run(|host| _ = host.add("slow", task(never_starts)), "stopping")),
];

fn never_starts(_: &Context) -> Result {
    say("ready");
    forever()
}

/// Runs a host with a drain of an hour. Says when it drains, or when it stops, and how its run ends.
fn run(add: impl FnOnce(&mut Host), says: &'static str) {
    let mut host = Host::new();
    add(host.drain(AN_HOUR).stop_timeout(AN_HOUR));
    let events = host.events();
    std::thread::spawn(move || {
        for event in events {
            match event.kind {
                EventKind::Draining { .. } if says == "draining" => say(says),
                EventKind::HostStopping { .. } if says == "stopping" => say(says),
                _ => {}
            }
        }
    });
    let report = host.run().unwrap();
    say(&format!("after run: {:?}", report.reason));
    leave(ExitCode::from(7))
}

// 169
#[test]
fn the_second_signal_ends_the_drain_and_the_stop_is_graceful() {
    for signal in ["TERM", "INT", "HUP"] {
        let child = Child::play("draining");
        child.signal(signal);
        child.says("draining");
        child.signal(signal);
        child.says("stop");
        child.says("after run: Signal");
        assert_eq!(child.ends(), (7, String::new()), "{signal}");
    }
}

// 169
#[test]
fn the_signal_after_the_drain_ends_the_process() {
    let child = Child::play("draining, then stuck");
    child.signal("TERM");
    child.says("draining");
    child.signal("TERM");
    child.says("stop requested");
    child.signal("TERM");
    assert_eq!(child.ends().0, 130);
}

// 169
#[test]
fn a_host_with_a_drain_that_is_still_starting_ends_at_the_second_signal() {
    let child = Child::play("starting with a drain");
    child.falls_asleep();
    child.signal("TERM");
    child.says("stopping"); // the start is rolled back
    child.signal("TERM");
    assert_eq!(child.ends().0, 130);
}
