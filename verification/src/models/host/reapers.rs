//! Joining: threads and callbacks that take their time, and stops without time.

use super::probe::{Act, Probe, Step};
use super::stage::{Stage, spawn};
use crate::models::explore::explore;
use crate::{Context, HostHandle, Outcome, StopReason, StopSource, StopToken};
use shuttle::thread::yield_now;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Runs in the thread-local destructor of a thread: a wait, and a count of the threads that have passed it.
struct Leaving {
    gate: Option<StopToken>,
    gone: Arc<AtomicUsize>,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.gate.iter().for_each(StopToken::wait);
        self.gone.fetch_add(1, Ordering::Relaxed);
    }
}

shuttle::thread_local! {
    static LEAVING: RefCell<Option<Leaving>> = RefCell::new(None);
}

fn leaving(gate: Option<StopToken>, gone: &Arc<AtomicUsize>) -> Probe {
    let gone = gone.clone();
    Probe::new().start(Act::calling(move |_: &Context| {
        let leaving = Leaving { gate: gate.clone(), gone: gone.clone() };
        LEAVING.with(|left| *left.borrow_mut() = Some(leaving));
        Ok(())
    }))
}

#[test]
fn a_thread_is_joined_after_its_thread_local_destructors() {
    explore(|| {
        let mut stage = Stage::still();
        let gone = Arc::default();
        stage.add("a", &[], leaving(None, &gone));
        stage.add("b", &[], leaving(None, &gone));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert_eq!(gone.load(Ordering::Relaxed), 2);
        stage.check(&result);
    });
}

#[test]
fn a_delayed_thread_delays_no_thread_behind_it() {
    explore(|| {
        let mut stage = Stage::running();
        let (gate, gone) = (StopSource::new(), Arc::default());
        stage.add("a", &[], leaving(Some(gate.token()), &gone));
        stage.add("b", &[], leaving(None, &gone));
        stage.add("c", &[], leaving(None, &gone));
        stage.host.start().unwrap();
        let handle: HostHandle = stage.host.handle();
        // The gate opens once the others have been joined. No event reports a join, so this polls.
        let opener = spawn("opener", move || {
            while handle.registry().observe().joined_by_reapers < 2 {
                yield_now();
            }
            gate.request_stop();
        });
        let result = stage.stop();
        opener.join().unwrap();
        assert_eq!((result.is_ok(), gone.load(Ordering::Relaxed)), (true, 3));
        stage.check(&result);
    });
}

#[test]
fn a_stop_without_time_joins_the_threads_that_have_exited() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new().run(Act::Return));
        stage.add("b", &["a"], Probe::new().run(Act::Return));
        stage.host.start().unwrap();
        assert_eq!(stage.host.wait(), StopReason::AllCompleted);
        let result = stage.host.stop(Duration::ZERO);
        assert!(result.is_ok(), "{result:?}");
        stage.check(&result);
    });
}

#[test]
fn a_stop_without_time_requests_all_stops_and_names_the_hung_services() {
    explore(|| {
        let mut stage = Stage::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        stage.add("c", &["a", "b"], Probe::new().run(Act::Return));
        stage.host.start().unwrap();
        let first = stage.host.stop(Duration::ZERO);
        let report = first.as_ref().unwrap_or_else(|error| error.report());
        for service in &report.services {
            let ended = matches!(service.outcome, Outcome::Stopped | Outcome::Completed);
            assert!(ended || matches!(service.outcome, Outcome::Hung(_)), "{service:?}");
        }
        let services = stage.host.handle().registry().observe().services;
        assert!(services[..2].iter().all(|service| service.stop_requested));
        let second = stage.stop();
        assert!(second.is_ok());
        assert_eq!((stage.journal.count("a", Step::Stop), stage.journal.count("b", Step::Stop)), (1, 1));
        stage.check(&second);
    });
}

#[test]
fn a_callback_that_outlives_its_service_is_hung_until_a_later_stop() {
    explore(|| {
        let mut stage = Stage::still();
        let (gate, began) = (StopSource::new(), StopSource::new());
        let (closed, begun) = (gate.token(), began.token());
        let runs = move |ctx: &Context| {
            let (closed, began) = (closed.clone(), began.clone());
            let guard = ctx.on_stop(move || {
                began.request_stop();
                closed.wait();
            });
            begun.wait();
            guard.unregister(); // does not wait for the callback
            Ok(())
        };
        stage.add("a", &[], Probe::new().run(Act::calling(runs)));
        stage.host.start().unwrap();
        let first = stage.host.stop(Duration::ZERO);
        let report = first.as_ref().unwrap_err().report();
        assert!(matches!(report.services[0].outcome, Outcome::Hung(_)), "{report}");
        gate.request_stop();
        let second = stage.stop();
        assert!(second.is_ok(), "{second:?}");
        stage.check(&second);
    });
}
