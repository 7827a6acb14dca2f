//! Guarantee 74: a thread-local destructor that blocks delays neither the deadline of a stop nor another service.

use crate::support::{BlocksInDrop, LIMIT, idle};
use crossbeam_channel::{Sender, bounded};
use hosted::{Context, Event, EventKind, Host, Outcome, Phase, Report, Service, ServiceState, worker};
use std::cell::RefCell;
use std::time::{Duration, Instant};

thread_local! {
    static HELD: RefCell<Option<BlocksInDrop>> = const { RefCell::new(None) };
}

/// A service whose thread exits only when the sender is dropped, long after the service has returned.
fn lingering() -> (impl Service, Sender<()>) {
    let (release, held) = bounded::<()>(0);
    let run = move |ctx: &Context| {
        HELD.set(Some(BlocksInDrop(held.clone())));
        ctx.wait();
        Ok(())
    };
    (worker(run), release)
}

fn hung(report: &Report) -> Vec<&str> {
    let hung = report.services.iter().filter(|service| matches!(service.outcome, Outcome::Hung(_)));
    hung.map(|service| &*service.name).collect()
}

// 74
#[test]
fn a_thread_local_destructor_that_blocks_does_not_make_a_stop_miss_its_deadline() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let (service, release) = lingering();
    let mut host = Host::new();
    host.add("lingering", service);
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(TIMEOUT).unwrap_err(); // returns, although nobody has released it
    let took = began.elapsed();
    assert!(took >= TIMEOUT && took < LIMIT / 2, "{took:?}");
    let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("not hung: {error}") };
    assert_eq!(hung.phase, Phase::Drop);
    assert_eq!((error.failures()[0].service(), error.failures()[0].phase()), ("lingering", Phase::Drop));
    drop(release);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
}

// 74
#[test]
fn dependencies_stop_even_if_a_thread_local_destructor_still_blocks() {
    let (service, release) = lingering();
    let mut held = Some(release);
    let first = worker(move |ctx| {
        ctx.wait();
        drop(held.take()); // only now can the other thread end
        Ok(())
    });
    let mut host = Host::new();
    host.add("first", first);
    host.add("lingering", service);
    host.start().unwrap();
    let report = host.stop(Duration::MAX).unwrap(); // a hold without end
    assert!(report.services.iter().all(|service| !service.stop_timed_out), "{report}");
}

// 74
#[test]
fn one_thread_that_cannot_be_joined_delays_no_other_of_twenty() {
    several_do_not_hold_up_twenty_others(1);
}

// 74
#[test]
fn five_threads_that_cannot_be_joined_delay_no_other_of_twenty() {
    several_do_not_hold_up_twenty_others(5);
}

fn several_do_not_hold_up_twenty_others(several: usize) {
    let mut host = Host::new();
    for n in 0..20 {
        host.add(format!("idle {n}"), idle()).after::<&str>([]);
    }
    let mut releases = Vec::new();
    for n in 0..several {
        let (service, release) = lingering();
        host.add(format!("lingering {n}"), service).after((0..20).map(|n| format!("idle {n}"))); // exits before them
        releases.push(release);
    }
    host.start().unwrap();
    let error = host.stop(Duration::from_secs(1)).unwrap_err();
    let expected: Vec<String> = (0..several).map(|n| format!("lingering {n}")).collect();
    assert_eq!(hung(error.report()), expected, "{error}");
    drop(releases);
    host.stop(LIMIT).unwrap();
}

// 74
#[test]
fn a_thread_that_cannot_be_joined_delays_no_others_at_a_second_stop() {
    let mut host = Host::new();
    let (lingering, lets_it_go) = lingering();
    let (release, held) = bounded::<()>(0);
    let (sender, receiver) = bounded(2);
    for name in ["stuck", "stuck too"] {
        let (held, sender) = (held.clone(), sender.clone());
        let run = move |_: &Context| {
            _ = held.recv();
            Ok(sender.send(())?)
        };
        host.add(name, worker(run)).after::<&str>([]);
    }
    host.add("lingering", lingering).after::<&str>([]);
    host.start().unwrap();
    let first = host.stop(Duration::from_millis(200)).unwrap_err();
    assert_eq!(hung(first.report()), ["stuck", "stuck too", "lingering"]);
    drop(release);
    for _ in 0..2 {
        receiver.recv_timeout(LIMIT).unwrap();
    }
    let second = host.stop(Duration::from_secs(1)).unwrap_err();
    assert_eq!(hung(second.report()), ["lingering"], "{second}");
    drop(lets_it_go);
    host.stop(LIMIT).unwrap();
}

// 74
#[test]
fn a_thread_that_cannot_be_joined_delays_no_others_at_a_stop_without_time() {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    let lingers = move |_: &Context| {
        HELD.set(Some(BlocksInDrop(held.clone())));
        Ok(())
    };
    host.add("lingering", worker(lingers));
    for n in 0..20 {
        host.add(format!("done {n}"), worker(|_| Ok(())));
    }
    let events = host.events();
    _ = host.start(); // all services may have completed before
    let completed = |event: &Event| matches!(event.kind, EventKind::Completed);
    assert_eq!(events.iter().filter(completed).take(21).count(), 21);
    let error = host.stop(Duration::ZERO).unwrap_err();
    assert_eq!(hung(error.report()), ["lingering"], "{error}");
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 53, 74
#[test]
fn a_hung_service_stays_hung_until_its_thread_has_exited() {
    let (in_run, in_destructor) = (bounded::<()>(0), bounded::<()>(0));
    let mut host = Host::new();
    let run = move |_: &Context| {
        HELD.set(Some(BlocksInDrop(in_destructor.1.clone())));
        _ = in_run.1.recv();
        Ok(())
    };
    host.add("stuck", worker(run));
    host.start().unwrap();
    let events = host.events();
    let error = host.stop(Duration::ZERO).unwrap_err();
    assert_eq!(hung(error.report()), ["stuck"], "{error}");
    drop(in_run.0);
    let stopped = |event: &Event| matches!(event.kind, EventKind::Stopped);
    assert!(events.iter().any(|event| stopped(&event)), "it ends");
    assert_eq!(host.handle().services()[0].state, ServiceState::Hung);
    drop(in_destructor.0);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
}

#[test]
fn a_stop_returns_with_the_last_thread_and_not_at_the_next_log_line() {
    // A progress line comes every second. If a stop returned only with its next line, this many stops would take too
    // long.
    const STOPS: usize = 100;
    let (done, over) = bounded(1);
    std::thread::spawn(move || {
        for _ in 0..STOPS {
            let mut host = Host::new();
            host.add("idle", idle());
            host.start().unwrap();
            host.stop(Duration::MAX).unwrap();
        }
        done.send(()).unwrap();
    });
    over.recv_timeout(LIMIT).expect("each stop returns with its last thread");
}
