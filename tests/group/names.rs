//! Guarantee 78: the children of a group are called `group/child` everywhere. A group uses the clock and the start of
//! its host.

use crate::support::{LIMIT, next};
use crossbeam_channel::{Sender, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, EventKind, Host, Result, Service, ServiceState, StopSource, group, task, worker};
use std::collections::BTreeSet;
use std::thread::spawn;
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(86_400);

/// A service that reports its name and the name of its thread, and waits for the stop request.
fn named(names: &Sender<(String, String)>) -> impl Service + use<> {
    let names = names.clone();
    worker(move |ctx| {
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        names.send((ctx.name().to_owned(), thread)).ok(); // not every test receives it
        ctx.wait();
        Ok(())
    })
}

/// `a`, and `g` with `a` and `b`, of which `b` is a group with a child `a`.
fn family(names: &Sender<(String, String)>) -> Host {
    let mut host = Host::new();
    host.add("a", named(names));
    let names = names.clone();
    host.add(
        "g",
        group(move |g| {
            g.add("a", named(&names));
            let names = names.clone();
            g.add(
                "b",
                group(move |b| {
                    b.add("a", named(&names));
                    Ok(())
                }),
            )
            .after(["a"]); // the name as it was added
            Ok(())
        }),
    );
    host
}

const ALL: [&str; 5] = ["a", "g", "g/a", "g/b", "g/b/a"];

// 78
#[test]
fn children_are_called_group_slash_child_in_their_contexts_and_by_their_threads() {
    let (names, named) = unbounded();
    let mut host = family(&names);
    host.start().unwrap();
    let mut seen = [next(&named), next(&named), next(&named)];
    host.stop(LIMIT).unwrap();
    seen.sort();
    assert_eq!(seen, ["a", "g/a", "g/b/a"].map(|name| (name.to_owned(), name.to_owned())));
}

// 78
#[test]
fn children_stand_after_their_group_in_statuses_and_reports() {
    let mut host = family(&unbounded().0);
    let names = |host: &Host| host.handle().services().iter().map(|row| row.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&host), ["a", "g"], "a group is filled at its start");
    host.start().unwrap();
    assert_eq!(names(&host), ALL);
    assert!(host.handle().services().iter().all(|row| row.state == ServiceState::Running));
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.iter().map(|service| &*service.name).collect::<Vec<_>>(), ALL);
    assert!(ALL.iter().all(|name| report.to_string().contains(&format!("  {name} "))), "{report}");
    assert!(host.handle().services().iter().all(|row| row.state == ServiceState::Stopped));
}

// 78
#[test]
fn the_host_publishes_events_of_children_in_order_with_their_full_names() {
    let mut host = family(&unbounded().0);
    let events = host.events();
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    let events = events.try_iter().collect::<Vec<_>>();
    let of = |name: &str| {
        let own = events.iter().filter(|event| event.service.as_deref() == Some(name));
        own.map(|event| event.to_string()).filter(|line| line.starts_with("service")).collect::<Vec<_>>()
    };
    for name in ALL {
        let steps = ["is starting", "has started", "is stopping", "has stopped"];
        assert_eq!(of(name), steps.map(|step| format!("service `{name}` {step}")));
    }
    let hosts = events.iter().filter(|event| matches!(event.kind, EventKind::HostStarted { .. }));
    let hosts = hosts.map(|event| event.service.as_deref()).collect::<Vec<_>>();
    assert_eq!(hosts, [Some("g/b"), Some("g"), None]);
    let known = events.iter().filter_map(|event| event.service.as_deref()).collect::<BTreeSet<_>>();
    assert_eq!(known, ALL.into_iter().collect());
}

// 78
#[test]
fn a_group_uses_the_clock_of_its_host() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let (woken, wakings) = unbounded();
    let began = time.clock().now();
    host.add(
        "g",
        group(move |g| {
            let woken = woken.clone();
            g.add(
                "sleeper",
                worker(move |ctx| {
                    ctx.sleep(DAY)?;
                    Ok(woken.send(ctx.clock().now() - began)?)
                }),
            );
            Ok(())
        }),
    );
    host.start().unwrap();
    time.wait_for_sleepers(1);
    time.advance(DAY);
    assert_eq!(next(&wakings), DAY);
    host.stop(LIMIT).unwrap();
}

/// Reports when it sees that the whole host has started.
fn waits_for_the_start(sender: Sender<&'static str>) -> impl FnMut(&Context) -> Result + Send {
    move |ctx| {
        ctx.wait_until_started()?;
        sender.send("started")?;
        ctx.wait();
        Ok(())
    }
}

// 26, 78
#[test]
fn wait_until_started_in_a_child_waits_for_the_whole_application() {
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    let (theirs, last) = (sender.clone(), sender);
    host.add(
        "g",
        group(move |g| {
            g.add("a", worker(waits_for_the_start(theirs.clone())));
            Ok(())
        }),
    );
    host.add("last", task(move |_| Ok(last.send("the last one starts")?)));
    host.start().unwrap();
    assert_eq!([next(&receiver), next(&receiver)], ["the last one starts", "started"]);
    host.stop(LIMIT).unwrap();
}

// 78
#[test]
fn a_group_can_be_tested_without_a_host() {
    let ((sender, receiver), stop) = (unbounded(), StopSource::new());
    let time = ManualClock::new();
    let ctx = Context::new("g", stop.token()).with_clock(time.clock());
    let mut service = group(move |g| {
        g.add("a", worker(waits_for_the_start(sender.clone())));
        let sender = sender.clone();
        g.add(
            "b",
            worker(move |ctx| {
                sender.send(if ctx.name() == "g/b" { "named" } else { "not named" })?;
                Ok(ctx.sleep(Duration::MAX)?)
            }),
        );
        Ok(())
    });
    let (ended, ends) = unbounded();
    spawn(move || {
        let lived = service.start(&ctx).and_then(|()| service.run(&ctx)).and_then(|()| service.stop(&ctx));
        ended.send(lived).unwrap();
    });
    let mut seen = [next(&receiver), next(&receiver)];
    seen.sort();
    assert_eq!(seen, ["named", "started"]);
    time.wait_for_sleepers(1);
    stop.request_stop();
    next(&ends).unwrap();
}

// 78
#[test]
fn a_child_has_the_same_stop_deadline_as_its_group() {
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    host.add(
        "g",
        group(move |g| {
            let sender = sender.clone();
            g.add(
                "a",
                worker(move |ctx| {
                    ctx.wait();
                    Ok(sender.send(ctx.stop_deadline())?)
                }),
            );
            Ok(())
        }),
    );
    host.start().unwrap();
    let before = Instant::now();
    host.stop(Duration::from_secs(100)).unwrap();
    let left = next(&receiver).expect("a stop has a deadline") - before;
    // 100 s less 5 %. The 5 % are subtracted once, no matter how deep the child is.
    let expected = Duration::from_secs(95);
    assert!(left <= Instant::now() - before + expected && left > expected - LIMIT, "{left:?}");
}
