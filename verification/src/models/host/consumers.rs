//! Consumers in a host and in groups, with producers inside and outside: stops, restarts, failures, and ends that come
//! before the start.

use super::queue::{Books, producer};
use super::stage::{Stage, spawn};
use crate::models::explore::{expect, explore};
use crate::stop::run_out;
use crate::sync::thread::JoinHandle;
use crate::{Context, Host, HostError, OnFailure, PushError, Queue, Report, Restart, Service, StopToken};
use crate::{group, task, worker};
use std::time::Duration;

fn consumer(queue: &Queue<u32>, books: &Books) -> impl Service + use<> {
    let books = books.clone();
    queue.consumer(move |item, _| Ok(books.handled(item)))
}

/// A service that pushes two items until its stop. It comes after its consumer, so its queue is open for it.
fn inside(queue: &Queue<u32>, books: &Books, items: [u32; 2]) -> impl Service + use<> {
    let (queue, books) = (queue.clone(), books.clone());
    worker(move |ctx| {
        for item in items {
            let pushed = books.pushed(item, queue.push_until(item, ctx.stop_token()));
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

/// A host that has ended, well or not, has closed the queue of its consumers.
pub(super) fn over(result: Result<Report, HostError>, queue: &Queue<u32>) {
    drop(result);
    assert!(queue.is_closed(), "a host has ended, and its queue is open");
}

#[test]
fn a_stop_handles_all_that_producers_inside_and_outside_have_pushed() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, books) = (Queue::bounded(1), Books::default());
        stage.add("one", &[], consumer(&queue, &books));
        stage.add("two", &[], consumer(&queue, &books));
        stage.add("inside", &["one", "two"], inside(&queue, &books, [1, 2]));
        let outside = producer(&queue, &books, [3, 4]);
        let result = stage.start_and_stop();
        outside.join().unwrap();
        assert!(books.balance(&queue).is_empty(), "accepted, and left behind in a stop without a deadline");
        stage.check(&result);
        over(result, &queue);
    });
}

#[test]
fn what_a_stop_has_no_time_for_is_drained() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, books) = (Queue::bounded(2), Books::default());
        stage.host.add("one", consumer(&queue, &books)).stop_timeout(Duration::from_secs(1));
        stage.host.add("two", consumer(&queue, &books)).stop_timeout(Duration::from_secs(1));
        let outside = producer(&queue, &books, [1, 2]);
        stage.host.start().unwrap();
        let timer = spawn("timer", || (0..3).for_each(|_| run_out()));
        let result = stage.stop();
        join([outside, timer]);
        books.balance(&queue);
        over(result, &queue);
    });
}

/// A group of a consumer and of what `fill` adds in its first life, its second, and so on. Its stop has no deadline.
fn pipeline<F>(queue: &Queue<u32>, books: &Books, mut fill: F) -> impl Service + use<F>
where
    F: FnMut(&mut Host, u32) + Send + 'static,
{
    let (queue, books, mut life) = (queue.clone(), books.clone(), 0);
    group(move |host| {
        life += 1;
        host.stop_timeout(Duration::MAX).add("consumer", consumer(&queue, &books));
        fill(host, life);
        Ok(())
    })
}

/// Fails in the first life of its group.
pub(super) fn add_flaky(host: &mut Host, life: u32) {
    host.add("flaky", worker(move |ctx| if life == 1 { Err("the connection is lost".into()) } else { Ok(ctx.wait()) }));
}

#[test]
fn a_group_that_restarts_leaves_its_queue_open_and_handles_all() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, books) = (Queue::bounded(1), Books::default());
        stage.host.add("group", pipeline(&queue, &books, add_flaky)).restart(restarts());
        let outside = producer(&queue, &books, [1, 2]);
        stage.host.start().unwrap();
        // A queue that is closed would refuse one of the two, and then this waits forever.
        books.two_handled.token().wait();
        outside.join().unwrap();
        assert!(!queue.is_closed(), "closed by a stop that is not the last");
        let result = stage.stop();
        assert!(books.balance(&queue).is_empty());
        over(result, &queue);
    });
}

#[test]
fn a_stop_at_any_moment_of_a_group_that_restarts_closes_its_queue_and_loses_nothing() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, books) = (Queue::bounded(1), Books::default());
        stage.host.add("group", pipeline(&queue, &books, add_flaky)).restart(restarts());
        let outside = producer(&queue, &books, [1, 2]);
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        // A group that was never filled has no consumer that could have closed the queue.
        if stage.host.handle().services().len() == 1 {
            queue.close();
        }
        join([outside, requester]);
        books.balance(&queue);
        over(result, &queue);
    });
}

#[test]
fn a_producer_in_a_group_stops_before_the_queue_of_its_consumer_closes() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, books) = (Queue::bounded(1), Books::default());
        let (pushed, noted) = (queue.clone(), books.clone());
        let fill = move |host: &mut Host, _| _ = host.add("producer", inside(&pushed, &noted, [1, 2]));
        stage.host.add("group", pipeline(&queue, &books, fill));
        stage.host.start().unwrap();
        let result = stage.stop();
        assert!(result.is_ok());
        assert!(books.balance(&queue).is_empty(), "accepted, and left behind in a stop without a deadline");
        over(result, &queue);
    });
}

/// Fails when its consumer would run.
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
            let (queue, books) = (Queue::bounded(1), Books::default());
            stage.host.add("fragile", Fragile(consumer(&queue, &books))).on_failure(OnFailure::Ignore);
            if others {
                stage.host.add("sound", consumer(&queue, &books)).after::<&str>([]);
            }
            stage.host.add("main", worker(|ctx| Ok(ctx.wait()))).after::<&str>([]);
            let outside = producer(&queue, &books, [1, 2]);
            stage.host.start().unwrap();
            if others {
                books.two_handled.token().wait();
                assert!(!queue.is_closed());
            }
            outside.join().unwrap();
            let result = stage.stop();
            books.balance(&queue);
            over(result, &queue);
        });
    }
}

#[test]
fn a_queue_without_a_started_consumer_refuses_waiting_producers_at_the_end() {
    explore(|| {
        let mut stage = Stage::still();
        let (queue, books) = (Queue::bounded(1), Books::default());
        stage.host.add("disk", task(|_| Err("the disk is full".into())));
        stage.host.add("never", consumer(&queue, &books));
        let outside = producer(&queue, &books, [1, 2]);
        let requester = stage.stop_requested_on_a_thread();
        let result = stage.start_and_stop();
        assert!(result.is_err());
        join([outside, requester]);
        books.balance(&queue);
        over(result, &queue);
    });
}

#[test]
fn a_host_that_is_dropped_unstarted_closes_the_queue_of_its_consumer() {
    explore(|| {
        let stage = Stage::still();
        let (queue, books) = (Queue::bounded(1), Books::default());
        let Stage { mut host, .. } = stage;
        host.add("never", consumer(&queue, &books));
        let outside = producer(&queue, &books, [1, 2]);
        drop(host);
        outside.join().unwrap();
        books.balance(&queue);
        assert!(queue.is_closed());
    });
}
