//! Consumers in a host and in groups, with producers inside and outside: stops, restarts, failures, and hosts that end
//! before the consumers start.

use super::queue::{Ledger, producer};
use super::stage::{Stage, spawn};
use crate::models::explore::{expect, explore};
use crate::stop::run_out;
use crate::sync::thread::JoinHandle;
use crate::{Context, Host, HostError, OnFailure, PushError, Queue, Report, Restart, Service, StopToken};
use crate::{group, task, worker};
use std::time::Duration;

fn consumer(queue: &Queue<u32>, ledger: &Ledger) -> impl Service + use<> {
    let ledger = ledger.clone();
    queue.consumer(move |item, _| Ok(ledger.handled(item)))
}

/// A service that pushes two items until its stop request. It depends on its consumer, so the queue is open until then.
fn inside(queue: &Queue<u32>, ledger: &Ledger, items: [u32; 2]) -> impl Service + use<> {
    let (queue, ledger) = (queue.clone(), ledger.clone());
    worker(move |ctx| {
        for item in items {
            let pushed = ledger.pushed(item, queue.push_until(item, ctx.stop_token()));
            expect(!matches!(pushed, Err(PushError::Closed(_))), "a producer stops before its queue closes");
            pushed?;
        }
        Ok(ctx.wait())
    })
}

pub(super) fn restarts() -> Restart {
    Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO).also_first_start()
}

pub(super) fn join(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A host that has exited, with or without a failure, has closed the queue of its consumers.
pub(super) fn over(result: Result<Report, HostError>, queue: &Queue<u32>) {
    drop(result);
    assert!(queue.is_closed(), "a host has exited, but its queue is open");
}

#[test]
fn a_stop_handles_everything_that_producers_inside_and_outside_pushed() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        stage.add("one", &[], consumer(&queue, &ledger));
        stage.add("two", &[], consumer(&queue, &ledger));
        stage.add("inside", &["one", "two"], inside(&queue, &ledger, [1, 2]));
        let outside = producer(&queue, &ledger, [3, 4]);
        let result = stage.start_and_stop();
        outside.join().unwrap();
        assert!(ledger.balance(&queue).is_empty(), "a stop without a deadline left accepted items");
        stage.check(&result);
        over(result, &queue);
    });
}

#[test]
fn items_that_a_stop_has_no_time_for_are_drained() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, ledger) = (Queue::bounded(2), Ledger::default());
        stage.host.add("one", consumer(&queue, &ledger)).stop_timeout(Duration::from_secs(1));
        stage.host.add("two", consumer(&queue, &ledger)).stop_timeout(Duration::from_secs(1));
        let outside = producer(&queue, &ledger, [1, 2]);
        stage.host.start().unwrap();
        let timer = spawn("timer", || (0..3).for_each(|_| run_out()));
        let result = stage.stop();
        join([outside, timer]);
        ledger.balance(&queue);
        over(result, &queue);
    });
}

/// A group of a consumer and what `fill` adds in each life of the group, counted from 1. Its stop has no deadline.
fn pipeline<F>(queue: &Queue<u32>, ledger: &Ledger, mut fill: F) -> impl Service + use<F>
where
    F: FnMut(&mut Host, u32) + Send + 'static,
{
    let (queue, ledger, mut life) = (queue.clone(), ledger.clone(), 0);
    group(move |host| {
        life += 1;
        host.stop_timeout(Duration::MAX).add("consumer", consumer(&queue, &ledger));
        fill(host, life);
        Ok(())
    })
}

/// Fails in the first life of the group.
pub(super) fn add_flaky(host: &mut Host, life: u32) {
    host.add("flaky", worker(move |ctx| if life == 1 { Err("the connection is lost".into()) } else { Ok(ctx.wait()) }));
}

#[test]
fn a_group_that_restarts_leaves_its_queue_open_and_handles_all() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        stage.host.add("group", pipeline(&queue, &ledger, add_flaky)).restart(restarts());
        let outside = producer(&queue, &ledger, [1, 2]);
        stage.host.start().unwrap();
        // A closed queue would refuse one of the two items, and this wait would never end.
        ledger.two_handled.token().wait();
        outside.join().unwrap();
        assert!(!queue.is_closed(), "the stop before a restart closed the queue");
        let result = stage.stop();
        assert!(ledger.balance(&queue).is_empty());
        over(result, &queue);
    });
}

#[test]
fn a_stop_at_any_moment_of_a_group_that_restarts_closes_its_queue_and_loses_nothing() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        stage.host.add("group", pipeline(&queue, &ledger, add_flaky)).restart(restarts());
        let outside = producer(&queue, &ledger, [1, 2]);
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        // A group that was never filled has no consumer that could have closed the queue.
        if stage.host.handle().services().len() == 1 {
            queue.close();
        }
        join([outside, requester]);
        ledger.balance(&queue);
        over(result, &queue);
    });
}

#[test]
fn a_producer_in_a_group_stops_before_the_queue_of_its_consumer_closes() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        let (pushed, noted) = (queue.clone(), ledger.clone());
        let fill = move |host: &mut Host, _| _ = host.add("producer", inside(&pushed, &noted, [1, 2]));
        stage.host.add("group", pipeline(&queue, &ledger, fill));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok());
        assert!(ledger.balance(&queue).is_empty(), "a stop without a deadline left accepted items");
        over(result, &queue);
    });
}

/// Fails where its consumer would run.
struct Fragile<S>(S);

impl<S: Service> Service for Fragile<S> {
    fn attach(&mut self, retired: &StopToken) {
        self.0.attach(retired);
    }

    fn start(&mut self, ctx: &Context) -> crate::Result {
        self.0.start(ctx)
    }

    fn run(&mut self, _: &Context) -> crate::Result {
        Err("the disk is gone".into())
    }
}

#[test]
fn a_consumer_that_fails_for_good_closes_its_queue_unless_another_may_run() {
    for others in [false, true] {
        explore(move || {
            let mut stage = Stage::still();
            let (queue, ledger) = (Queue::bounded(1), Ledger::default());
            stage.host.add("fragile", Fragile(consumer(&queue, &ledger))).on_failure(OnFailure::Ignore);
            if others {
                stage.host.add("sound", consumer(&queue, &ledger)).after::<&str>([]);
            }
            stage.host.add("main", worker(|ctx| Ok(ctx.wait()))).after::<&str>([]);
            let outside = producer(&queue, &ledger, [1, 2]);
            stage.host.start().unwrap();
            if others {
                ledger.two_handled.token().wait();
                assert!(!queue.is_closed());
            }
            outside.join().unwrap();
            let result = stage.stop();
            ledger.balance(&queue);
            over(result, &queue);
        });
    }
}

#[test]
fn a_queue_without_a_started_consumer_refuses_waiting_producers_at_the_end() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        stage.host.add("disk", task(|_| Err("the disk is full".into())));
        stage.host.add("never", consumer(&queue, &ledger));
        let outside = producer(&queue, &ledger, [1, 2]);
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        assert!(result.is_err());
        join([outside, requester]);
        ledger.balance(&queue);
        over(result, &queue);
    });
}

#[test]
fn a_host_that_is_dropped_unstarted_closes_the_queue_of_its_consumer() {
    explore(|| {
        let stage = Stage::still();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        let Stage { mut host, .. } = stage;
        host.add("never", consumer(&queue, &ledger));
        let outside = producer(&queue, &ledger, [1, 2]);
        drop(host);
        outside.join().unwrap();
        ledger.balance(&queue);
        assert!(queue.is_closed());
    });
}
