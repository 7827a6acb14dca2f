//! Faults that reviews have found. Each test has the guarantee that prevents the fault.

use crate::support::LIMIT;
use crossbeam_channel::{bounded, unbounded};
use hosted::{Context, EventKind, Host, OnFailure, Outcome, Queue, Restart, Result, Service, StopToken, group, worker};
use std::fmt;
use std::time::Duration;

// 17, 24
#[test]
fn a_service_that_becomes_ready_during_the_stop_ends_before_its_dependencies() {
    struct Late(crossbeam_channel::Sender<&'static str>);
    impl Service for Late {
        fn start(&mut self, ctx: &Context) -> Result {
            ctx.host().request_stop();
            ctx.wait(); // after the stop request, the stop has begun
            Ok(())
        }

        fn stop(&mut self, _: &Context) -> Result {
            std::thread::sleep(Duration::from_millis(20)); // a service that does not wait would stop meanwhile
            Ok(self.0.send("api exited")?)
        }
    }
    for _ in 0..10 {
        let (sender, receiver) = unbounded();
        let mut host = Host::new();
        let from_db = sender.clone();
        host.add(
            "db",
            worker(move |ctx| {
                ctx.wait();
                Ok(from_db.send("db stopping")?)
            }),
        );
        host.add("api", Late(sender));
        let error = host.start().unwrap_err();
        assert!(error.failures().is_empty(), "{error}");
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["api exited", "db stopping"]);
    }
}

// 70, 78
#[test]
fn a_stopping_group_gives_a_shorter_deadline_of_its_host_to_its_children() {
    let queue = Queue::bounded(1);
    let (taking, taken) = bounded(1);
    let jobs = queue.clone();
    let mut host = Host::new();
    let events = host.events();
    let fill = move |inside: &mut Host| {
        let taking = taking.clone();
        let job = move |_: u8, ctx: &Context| {
            taking.send(())?;
            ctx.wait(); // until the deadline of the consumer
            Ok(())
        };
        inside.add("consumer", jobs.consumer(job));
        inside.add("fails", worker(|ctx| ctx.wait_until_started().map_err(Into::into).and_then(|()| Err("no".into()))));
        Ok(())
    };
    queue.push(1).unwrap();
    host.add("group", group(fill)).on_failure(OnFailure::Ignore);
    host.start().unwrap();
    taken.recv_timeout(LIMIT).unwrap();
    let is_requested = |event: &hosted::Event| {
        matches!(event.kind, EventKind::Stopping) && event.service.as_deref() == Some("group/consumer")
    };
    events.iter().find(is_requested).unwrap(); // within the 25 seconds of a group without a stop request
    let report = host.stop(Duration::from_secs(2)).unwrap();
    assert!(matches!(report.services[1].outcome, Outcome::Stopped), "{report}");
}

// 26
#[test]
fn the_error_of_a_second_start_has_the_states_of_the_services() {
    let mut host = Host::new();
    host.add("idle", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
    host.start().unwrap();
    let error = host.start().unwrap_err();
    assert!(matches!(error.report().services[0].outcome, Outcome::Running), "{error}");
    assert!(matches!(host.stop(LIMIT).unwrap().services[0].outcome, Outcome::Stopped));
}

/// An error that panics when it is dropped.
#[derive(Debug)]
struct Bomb;

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bomb")
    }
}

impl std::error::Error for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("it went off");
    }
}

// 33, 39
#[test]
fn an_error_whose_drop_panics_prevents_neither_the_stop_nor_the_restart() {
    struct Fails(crossbeam_channel::Sender<&'static str>, u32);
    impl Service for Fails {
        fn run(&mut self, _: &Context) -> Result {
            self.1 += 1;
            self.0.send("run")?;
            if self.1 == 1 { Err(Bomb.into()) } else { Ok(()) }
        }

        fn stop(&mut self, _: &Context) -> Result {
            Ok(self.0.send("stop")?)
        }
    }
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    let none = Duration::ZERO..=Duration::ZERO;
    host.add("fails", Fails(sender, 0)).restart(Restart::on_failure().backoff(none));
    let report = host.run_until(&StopToken::never()).unwrap();
    assert_eq!(report.services[0].restarts, 1);
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["run", "stop", "run", "stop"]);
}

// 69
#[test]
fn a_job_whose_error_panics_in_its_drop_affects_no_other_job() {
    let queue = Queue::bounded(2);
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    let job = move |n: u8, _: &Context| {
        sender.send(n)?;
        if n == 0 { Err(Bomb.into()) } else { Ok(()) }
    };
    host.add("consumer", queue.consumer(job));
    host.start().unwrap();
    queue.push(0).unwrap();
    queue.push(1).unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services[0].errors, 1);
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0, 1]);
}

// 55
#[test]
fn a_host_that_is_dropped_before_its_start_ends_the_wait_for_stopping() {
    let host = Host::new();
    let handle = host.handle();
    drop(host);
    assert!(handle.stopping().wait_timeout(LIMIT));
}
