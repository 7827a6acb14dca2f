//! Groups during a stop, and stop requests that come from a child.

use crate::support::{LIMIT, next, waits};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{
    Context, EventKind, Host, HostHandle, OnCompletion, Outcome, Restart, Result, Service, StopReason, StopToken,
    group, task, worker,
};
use std::thread::spawn;
use std::time::Duration;

/// A service that reports the call of its `stop`.
struct Reporting(&'static str, Sender<&'static str>);

impl Service for Reporting {
    fn stop(&mut self, _: &Context) -> Result {
        Ok(self.1.send(self.0)?)
    }
}

/// The services with a `Stopping` event, in order.
fn stopping_services(events: &Receiver<hosted::Event>) -> Vec<String> {
    let stopping = events.try_iter().filter(|event| matches!(event.kind, EventKind::Stopping));
    stopping.filter_map(|event| event.service).map(|service| service.to_string()).collect()
}

// 17, 78
#[test]
fn groups_and_their_children_stop_in_exact_reverse_of_their_start() {
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    let events = host.events();
    host.add("a", Reporting("a", sender.clone()));
    let theirs = sender.clone();
    host.add(
        "g",
        group(move |g| {
            g.add("b", Reporting("b", theirs.clone()));
            let theirs = theirs.clone();
            g.add(
                "n",
                group(move |n| {
                    n.add("c", Reporting("c", theirs.clone()));
                    n.add("d", Reporting("d", theirs.clone()));
                    Ok(())
                }),
            );
            Ok(())
        }),
    );
    host.add("e", Reporting("e", sender));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["e", "d", "c", "b", "a"]);
    assert_eq!(stopping_services(&events), ["e", "g", "g/n", "g/n/d", "g/n/c", "g/b", "a"]);
}

// 24, 78
#[test]
fn a_group_stopped_during_its_start_stops_its_children_without_a_failure() {
    let ((sender, receiver), (starting, starts)) = (unbounded(), unbounded());
    let mut host = Host::new();
    host.add(
        "g",
        group(move |g| {
            g.add("a", Reporting("a", sender.clone()));
            let starting = starting.clone();
            g.add(
                "b",
                task(move |ctx| {
                    starting.send(())?;
                    Ok(ctx.sleep(Duration::MAX)?)
                }),
            );
            g.add("c", Reporting("c", sender.clone()));
            Ok(())
        }),
    );
    let handle = host.handle();
    let requester = spawn(move || {
        next(&starts);
        handle.request_stop();
    });
    let error = host.start().unwrap_err();
    requester.join().unwrap();
    assert!(error.failures().is_empty(), "{error}");
    assert_eq!(error.report().reason, StopReason::Requested);
    let outcomes = error.report().services.iter().map(|service| &service.outcome).collect::<Vec<_>>();
    use Outcome::{NeverStarted, Stopped};
    assert!(matches!(outcomes[..], [Stopped, Stopped, Stopped, NeverStarted]), "{error}");
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["a"]);
}

/// Requests the stop of the host of `ctx`, and waits for its own stop request.
fn requests_stop(ctx: &Context) -> Result {
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
                            "requests_stop",
                            worker(|ctx| {
                                ctx.wait_until_started().map_err(Into::into).and_then(|()| requests_stop(ctx))
                            }),
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
                g.add(
                    "requests_stop",
                    worker(|ctx| ctx.wait_until_started().map_err(Into::into).and_then(|()| requests_stop(ctx))),
                );
                Ok(())
            }),
        );
        host.add("relies on g", worker(waits));
        host.start().unwrap();
        assert_eq!(host.wait(), StopReason::Requested);
        host.stop(LIMIT).unwrap();
        assert_eq!(stopping_services(&events), ["relies on g", "g", "g/requests_stop", "g/sibling"]);
    }
}

// 24, 36
#[test]
fn a_stop_request_of_a_child_during_start_up_is_not_a_failure() {
    let ways: [fn(&mut Host); 2] = [
        |g| _ = g.add("requests_stop", task(requests_stop)),
        |g| {
            g.add("requests_stop", worker(requests_stop));
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
    let (sender, receiver) = unbounded::<HostHandle>();
    host.add(
        "g",
        group(move |g| {
            let sender = sender.clone();
            g.add(
                "fails",
                worker(move |ctx| {
                    ctx.wait_until_started()?;
                    sender.send(ctx.host().clone())?;
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
    assert!(next(&receiver).stopping().stop_requested(), "the host of the group has its stop request");
}
