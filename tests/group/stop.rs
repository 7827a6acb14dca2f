//! Groups during a stop, and stop requests that come from a child.

use crate::support::{LIMIT, next, waits};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{
    Context, EventKind, Host, HostHandle, OnCompletion, Outcome, Restart, Result, Service, StopReason, StopToken,
    group, task, worker,
};
use std::thread::spawn;
use std::time::Duration;

/// A service that tells when its `stop` is called.
struct Told(&'static str, Sender<&'static str>);

impl Service for Told {
    fn stop(&mut self, _: &Context) -> Result {
        Ok(self.1.send(self.0)?)
    }
}

/// The services with a `Stopping` event, in order.
fn asked(events: &Receiver<hosted::Event>) -> Vec<String> {
    let asked = events.try_iter().filter(|event| matches!(event.kind, EventKind::Stopping));
    asked.filter_map(|event| event.service).map(|service| service.to_string()).collect()
}

// 17, 78
#[test]
fn groups_and_their_children_stop_in_exact_reverse_of_their_start() {
    let (told, tells) = unbounded();
    let mut host = Host::new();
    let events = host.events();
    host.add("a", Told("a", told.clone()));
    let theirs = told.clone();
    host.add(
        "g",
        group(move |g| {
            g.add("b", Told("b", theirs.clone()));
            let theirs = theirs.clone();
            g.add(
                "n",
                group(move |n| {
                    n.add("c", Told("c", theirs.clone()));
                    n.add("d", Told("d", theirs.clone()));
                    Ok(())
                }),
            );
            Ok(())
        }),
    );
    host.add("e", Told("e", told));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(tells.try_iter().collect::<Vec<_>>(), ["e", "d", "c", "b", "a"]);
    assert_eq!(asked(&events), ["e", "g", "g/n", "g/n/d", "g/n/c", "g/b", "a"]);
}

// 24, 78
#[test]
fn a_group_stopped_during_its_start_stops_its_children_without_a_failure() {
    let ((told, tells), (starting, starts)) = (unbounded(), unbounded());
    let mut host = Host::new();
    host.add(
        "g",
        group(move |g| {
            g.add("a", Told("a", told.clone()));
            let starting = starting.clone();
            g.add(
                "b",
                task(move |ctx| {
                    starting.send(())?;
                    Ok(ctx.sleep(Duration::MAX)?)
                }),
            );
            g.add("c", Told("c", told.clone()));
            Ok(())
        }),
    );
    let handle = host.handle();
    let asking = spawn(move || {
        next(&starts);
        handle.request_stop();
    });
    let error = host.start().unwrap_err();
    asking.join().unwrap();
    assert!(error.failures().is_empty(), "{error}");
    assert_eq!(error.report().reason, StopReason::Requested);
    let outcomes = error.report().services.iter().map(|service| &service.outcome).collect::<Vec<_>>();
    use Outcome::{NeverStarted, Stopped};
    assert!(matches!(outcomes[..], [Stopped, Stopped, Stopped, NeverStarted]), "{error}");
    assert_eq!(tells.try_iter().collect::<Vec<_>>(), ["a"]);
}

/// Asks the host of `ctx` to stop, and waits to be stopped.
fn asks(ctx: &Context) -> Result {
    ctx.host().request_stop();
    waits(ctx)
}

// 36, 78
#[test]
fn a_stop_request_of_a_child_stops_the_application() {
    for restart in [Restart::never(), Restart::always()] {
        let mut host = Host::new();
        host.add(
            "g",
            group(|g| {
                g.add(
                    "n",
                    group(|n| {
                        n.add(
                            "asks",
                            worker(|ctx| ctx.wait_until_started().map_err(Into::into).and_then(|()| asks(ctx))),
                        );
                        Ok(())
                    }),
                );
                Ok(())
            }),
        )
        .restart(restart.backoff(Duration::ZERO..=Duration::ZERO));
        let report = host.run_until(&StopToken::never()).unwrap();
        assert_eq!(report.reason, StopReason::Requested);
        assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)), "{report}");
        assert!(report.services.iter().all(|service| service.restarts == 0), "{report}");
    }
}

// 17, 36
#[test]
fn a_stop_request_of_a_child_stops_the_application_in_reverse_order() {
    for _ in 0..50 {
        let mut host = Host::new();
        let events = host.events();
        host.add(
            "g",
            group(|g| {
                g.add("sibling", worker(waits));
                g.add("asks", worker(|ctx| ctx.wait_until_started().map_err(Into::into).and_then(|()| asks(ctx))));
                Ok(())
            }),
        );
        host.add("relies on g", worker(waits));
        host.start().unwrap();
        assert_eq!(host.wait(), StopReason::Requested);
        host.stop(LIMIT).unwrap();
        assert_eq!(asked(&events), ["relies on g", "g", "g/asks", "g/sibling"]);
    }
}

// 24, 36
#[test]
fn a_stop_request_of_a_child_during_start_up_is_not_a_failure() {
    let ways: [fn(&mut Host); 2] = [
        |g| _ = g.add("asks", task(asks)),
        |g| {
            g.add("asks", worker(asks));
            g.add("slow", task(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
        },
    ];
    for way in ways {
        let mut host = Host::new();
        host.add(
            "g",
            group(move |g| {
                way(g);
                Ok(())
            }),
        );
        host.add("after", task(|_| Ok(())));
        let error = host.start().unwrap_err();
        assert!(error.failures().is_empty(), "{error}");
        assert_eq!(error.report().reason, StopReason::Requested);
        let [g, .., after] = &error.report().services[..] else { panic!("{error}") };
        assert!(matches!((&g.outcome, &after.outcome), (Outcome::Stopped, Outcome::NeverStarted)), "{error}");
    }
}

// 35, 46
#[test]
fn a_child_whose_completion_stops_its_host_completes_its_group() {
    let run = |slow: bool| {
        let mut host = Host::new();
        host.add(
            "g",
            group(move |g| {
                g.add("main", worker(|_| Ok(()))).on_completion(OnCompletion::StopHost);
                g.add("helper", worker(waits));
                if slow {
                    g.add("slow", task(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
                }
                Ok(())
            }),
        );
        host.run_until(&StopToken::never())
    };
    for slow in [false, true] {
        let report = run(slow).unwrap();
        assert_eq!(report.reason, StopReason::AllCompleted);
        assert!(matches!(report.services[0].outcome, Outcome::Completed), "{report}");
    }
}

// 44, 46
#[test]
fn a_stop_request_ends_the_backoff_of_a_group_at_once() {
    let mut host = Host::new();
    let events = host.events();
    let (told, tells) = unbounded::<HostHandle>();
    host.add(
        "g",
        group(move |g| {
            let told = told.clone();
            g.add(
                "fails",
                worker(move |ctx| {
                    ctx.wait_until_started()?;
                    told.send(ctx.host().clone())?;
                    Err("no network".into())
                }),
            );
            Ok(())
        }),
    )
    .restart(Restart::on_failure().backoff(LIMIT..=LIMIT));
    host.start().unwrap();
    while !matches!(next(&events).kind, EventKind::Restarting { .. }) {}
    let report = host.stop(LIMIT * 10).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::NotRestarted(_)), "{report}");
    assert_eq!(report.services[0].restarts, 0);
    assert!(next(&tells).stopping().stop_requested(), "the group's own host has been asked");
}
