//! Guarantees 52 and 78 together: a group that stops on its own, when its host has less time for it.

use crate::support::LIMIT;
use crossbeam_channel::{Receiver, bounded};
use hosted::{Context, EventKind, Host, OnFailure, Outcome, Result, Service, group, worker};
use std::time::Duration;

/// A service that ignores its stop request: it runs until the sender is dropped.
fn unresponsive(held: &Receiver<()>) -> impl Service {
    let held = held.clone();
    worker(move |_| {
        _ = held.recv();
        Ok(())
    })
}

fn fails_once_started(ctx: &Context) -> Result {
    ctx.wait_until_started()?;
    Err("no network".into())
}

// 52, 78
#[test]
fn a_shorter_deadline_is_divided_again_among_unresponsive_children() {
    const SHORTER: Duration = Duration::from_secs(8);
    let (release, held) = bounded::<()>(0);
    let mut release = Some(release);
    let mut host = Host::new();
    let events = host.events();
    let fill = move |inside: &mut Host| {
        let mut release = release.take();
        let lets_go = move |ctx: &Context| {
            ctx.wait();
            drop(release.take());
            Ok(())
        };
        inside.add("first", worker(lets_go));
        inside.add("stuck", unresponsive(&held));
        inside.add("stuck too", unresponsive(&held));
        inside.add("fails", worker(fails_once_started));
        Ok(())
    };
    host.add("group", group(fill)).on_failure(OnFailure::Ignore);
    host.start().unwrap();
    let is_requested = |event: &hosted::Event| {
        matches!(event.kind, EventKind::Stopping) && event.service.as_deref() == Some("group/stuck too")
    };
    let until = |found: &dyn Fn(&hosted::Event) -> bool| while !found(&events.recv_timeout(LIMIT).unwrap()) {};
    until(&is_requested); // within half of the 25 seconds of a group without a stop request
    let report = host.stop(SHORTER).unwrap();
    let timed_out: Vec<_> = events
        .try_iter()
        .filter_map(|event| match event.kind {
            EventKind::StopTimedOut { waited } => Some((event.service?.to_string(), waited)),
            _ => None,
        })
        .collect();
    let [(first, half), (second, quarter)] = &timed_out[..] else { panic!("{timed_out:?}") };
    assert_eq!((&**first, &**second), ("group/stuck too", "group/stuck"));
    // Nearly half and a quarter of the time. Without halving, `second` would have none.
    assert!(half.min(quarter) >= &(SHORTER / 20), "{timed_out:?}");
    assert!(report.services[1..4].iter().all(|child| matches!(child.outcome, Outcome::Stopped)), "{report}");
}
