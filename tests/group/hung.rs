//! Guarantee 78: a group with a hung child is hung, names the child, and is not restarted. A second stop finds its true
//! outcome.

use crate::support::{LIMIT, next, waits};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{
    Cause, Context, Event, EventKind, Host, HostError, Outcome, Phase, Report, Restart, Result, Service, ServiceState,
    StopReason, group, task, worker,
};
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(1);

/// Ignores its stop request until `release` is dropped. Then it stops without an error.
struct Unresponsive {
    release: Sender<()>,
    released: Receiver<()>,
}

fn unresponsive() -> Unresponsive {
    let (release, released) = unbounded();
    Unresponsive { release, released }
}

impl Unresponsive {
    fn run(&self) -> impl FnMut(&Context) -> Result + Send + use<> {
        let released = self.released.clone();
        move |_| Ok(_ = released.recv())
    }

    fn release(self) {
        drop(self.release);
    }
}

fn outcome<'r>(report: &'r Report, name: &str) -> &'r Outcome {
    &report.services.iter().find(|service| &*service.name == name).expect("no such service").outcome
}

/// Asserts that exactly these services are hung, in this phase, and that each of them is a failure by timeout.
fn assert_hung(error: &HostError, names: &[&str], phase: Phase) {
    for service in &error.report().services {
        let hung = names.contains(&&*service.name);
        match &service.outcome {
            Outcome::Hung(what) if hung && what.thread.starts_with(&*service.name) => {
                assert!(!service.name.ends_with("stuck") || what.phase == phase, "{error}");
            }
            other => assert!(!hung && !matches!(other, Outcome::Hung(_)), "{} is {other:?}\n{error}", service.name),
        }
    }
    let group = error.failures().iter().find(|failure| failure.service() == "g").expect("the group's failure");
    assert!(matches!(group.cause(), Cause::TimedOut(_) | Cause::Failed(_)), "{error}");
    assert!(error.to_string().contains("g/stuck") || error.to_string().contains("g/n/stuck"), "{error}");
}

fn states(host: &Host) -> Vec<(String, ServiceState)> {
    host.handle().services().into_iter().map(|row| (row.name.to_string(), row.state)).collect()
}

// 78
#[test]
fn a_group_with_a_hung_child_is_hung_and_names_it_and_all_others_stop() {
    let unresponsive = unresponsive();
    let mut host = Host::new();
    let events = host.events();
    host.add("before", worker(waits));
    let run = unresponsive.run();
    let mut run = Some(run);
    host.add(
        "g",
        group(move |g| {
            g.add("first", worker(waits));
            g.add("stuck", worker(run.take().ok_or("a group with a hung child is never restarted")?));
            g.add("last", worker(waits));
            Ok(())
        }),
    )
    .restart(Restart::always().backoff(Duration::ZERO..=Duration::ZERO));
    host.add("after", worker(waits));
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(SOON).unwrap_err();
    assert!(began.elapsed() >= SOON);
    assert_hung(&error, &["g", "g/stuck"], Phase::Run);
    for name in ["before", "g/first", "g/last", "after"] {
        assert!(matches!(outcome(error.report(), name), Outcome::Stopped), "{error}");
    }
    let hung = |row: &(String, ServiceState)| row.1 == ServiceState::Hung;
    assert_eq!(states(&host).iter().filter(|row| hung(row)).count(), 2);
    unresponsive.release();
    let report = host.stop(LIMIT).unwrap();
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)), "{report}");
    assert!(states(&host).iter().all(|row| row.1 == ServiceState::Stopped));
    assert_eq!(report.services[1].restarts, 0);
    assert!(!events.try_iter().any(|event| matches!(event.kind, EventKind::Restarting { .. })));
}

// 53, 78
#[test]
fn a_second_stop_reports_a_child_that_is_still_hung() {
    let unresponsive = unresponsive();
    let mut host = Host::new();
    let mut run = Some(unresponsive.run());
    host.add(
        "g",
        group(move |g| {
            g.add("stuck", worker(run.take().ok_or("again")?));
            Ok(())
        }),
    );
    host.start().unwrap();
    for _ in 1..=3 {
        assert_hung(&host.stop(SOON).unwrap_err(), &["g", "g/stuck"], Phase::Run);
        assert!(states(&host).iter().all(|row| row.1 == ServiceState::Hung));
    }
    unresponsive.release();
    host.stop(LIMIT).unwrap();
}

// 78
#[test]
fn a_hung_grandchild_makes_every_group_around_it_hung() {
    let unresponsive = unresponsive();
    let mut host = Host::new();
    let released = unresponsive.released.clone();
    host.add(
        "g",
        group(move |g| {
            let released = released.clone();
            g.add(
                "n",
                group(move |n| {
                    let released = released.clone();
                    n.add("stuck", worker(move |_| Ok(_ = released.recv())));
                    Ok(())
                }),
            );
            Ok(())
        }),
    );
    host.start().unwrap();
    assert_hung(&host.stop(SOON * 2).unwrap_err(), &["g", "g/n", "g/n/stuck"], Phase::Run);
    unresponsive.release();
    let report = host.stop(LIMIT).unwrap();
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)), "{report}");
}

/// A group with a child that fails at an order of the test, and an unresponsive child with a short stop timeout.
fn failing_beside_unresponsive(fail: Receiver<()>, released: Receiver<()>) -> impl Service {
    group(move |g| {
        g.stop_timeout(Duration::from_millis(50));
        let (fail, released) = (fail.clone(), released.clone());
        g.add("stuck", worker(move |_| Ok(_ = released.recv())));
        g.add(
            "fails",
            worker(move |ctx| {
                ctx.recv(&fail)?;
                Err("no network".into())
            }),
        );
        Ok(())
    })
}

// 46, 78
#[test]
fn a_group_that_fails_beside_a_hung_child_is_hung_and_stops_the_host() {
    let (unresponsive, (fail, failing)) = (unresponsive(), unbounded());
    let mut host = Host::new();
    let events = host.events();
    let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO);
    host.add("g", failing_beside_unresponsive(failing, unresponsive.released.clone())).restart(restart);
    host.add("other", worker(waits));
    host.start().unwrap();
    fail.send(()).unwrap();
    assert_eq!(host.wait(), StopReason::Failed("g".into()));
    let is_hung = |event: Event| matches!(event.kind, EventKind::Hung(_)) && event.service.as_deref() == Some("g");
    while !is_hung(next(&events)) {} // it is reported as failed first, and then as hung
    assert_eq!(states(&host)[..2], [("g".to_owned(), ServiceState::Hung), ("g/stuck".to_owned(), ServiceState::Hung)]);
    let error = host.stop(SOON).unwrap_err();
    assert_hung(&error, &["g", "g/stuck"], Phase::Run);
    let first = &error.failures()[0];
    assert!(first.service() == "g" && first.to_string().contains("no network"), "the root cause first: {error}");
    unresponsive.release();
    let error = host.stop(LIMIT).unwrap_err();
    assert!(matches!(outcome(error.report(), "g"), Outcome::Failed(_)), "{error}");
    assert!(matches!(outcome(error.report(), "g/stuck"), Outcome::Stopped), "{error}");
    assert_eq!((error.failures().len(), error.report().services[0].restarts), (1, 0));
}

/// A group with a child whose `start` is unresponsive.
fn unresponsive_start(starting: Sender<()>, released: Receiver<()>) -> impl Service {
    group(move |g| {
        let (starting, released) = (starting.clone(), released.clone());
        g.add("first", worker(waits));
        g.add(
            "stuck",
            task(move |_| {
                starting.send(())?;
                Ok(_ = released.recv())
            }),
        );
        Ok(())
    })
}

// 24, 53, 78
#[test]
fn a_group_stopped_while_the_start_of_a_child_hangs_is_hung_until_its_true_end() {
    let (unresponsive, (starting, starts)) = (unresponsive(), unbounded());
    let mut host = Host::new();
    host.stop_timeout(SOON);
    host.add("g", unresponsive_start(starting, unresponsive.released.clone()));
    let handle = host.handle();
    let requester = std::thread::spawn(move || {
        next(&starts);
        handle.request_stop();
    });
    let error = host.start().unwrap_err();
    requester.join().unwrap();
    assert_hung(&error, &["g", "g/stuck"], Phase::Start);
    assert!(matches!(outcome(error.report(), "g/first"), Outcome::Stopped), "{error}");
    unresponsive.release();
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.reason, StopReason::Requested);
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)), "{report}");
}

// 23, 78
#[test]
fn a_group_past_its_start_timeout_with_a_hung_child_is_late_and_hung() {
    let (unresponsive, (starting, _starts)) = (unresponsive(), unbounded());
    let mut host = Host::new();
    host.stop_timeout(SOON);
    host.add("g", unresponsive_start(starting, unresponsive.released.clone())).start_timeout(SOON / 4);
    let error = host.start().unwrap_err();
    assert!(matches!(error.failures()[0].cause(), Cause::TimedOut(time) if *time == SOON / 4), "{error}");
    assert_hung(&error, &["g", "g/stuck"], Phase::Start);
    assert!(matches!(outcome(error.report(), "g/first"), Outcome::Stopped), "{error}");
    unresponsive.release();
    let error = host.stop(LIMIT).unwrap_err();
    assert!(matches!(outcome(error.report(), "g"), Outcome::Failed(_)), "{error}");
    assert!(matches!(outcome(error.report(), "g/stuck"), Outcome::Stopped), "{error}");
    assert_eq!(error.failures().len(), 1);
}

// 46, 78
#[test]
fn a_group_that_was_hung_is_not_restarted_when_its_child_ends_later() {
    for life in [1, 2] {
        let (unresponsive, (fail, failing), (fill, fills)) = (unresponsive(), unbounded(), unbounded());
        let mut host = Host::new();
        let events = host.events();
        let released = unresponsive.released.clone();
        let service = group(move |g| {
            fill.send(())?;
            g.stop_timeout(SOON / 4);
            let (lives, released, failing) = (fill.len(), released.clone(), failing.clone());
            let is_unresponsive = lives == life;
            g.add("stuck", worker(move |ctx| if is_unresponsive { Ok(_ = released.recv()) } else { waits(ctx) }));
            g.add("fails", task(move |_| if lives == 1 { Ok(()) } else { Err("no disk".into()) }));
            g.add("fails later", worker(move |ctx| ctx.recv(&failing)?));
            Ok(())
        });
        host.add("g", service).restart(Restart::always().backoff(Duration::ZERO..=Duration::ZERO));
        host.start().unwrap();
        fail.send(Err("no network".into())).unwrap();
        let is_hung = |event: Event| matches!(event.kind, EventKind::Hung(_)) && event.service.as_deref() == Some("g");
        while !is_hung(next(&events)) {}
        unresponsive.release();
        let lives = std::iter::from_fn(|| fills.recv_timeout(LIMIT).ok()).count(); // until the group's value is dropped
        let error = host.stop(LIMIT).unwrap_err();
        assert_eq!((error.failures().len(), lives), (1, life), "{error}");
        assert!(matches!(outcome(error.report(), "g"), Outcome::Failed(_)), "{error}");
    }
}
