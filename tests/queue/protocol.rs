//! When a queue closes: restarts, groups, consumers that fail or never start, and stops that race with pushes. (The
//! tests of pushes are in `queue`, and those of jobs in `consumer`.)

use crate::support::log::{Level, record};
use crate::support::{LIMIT, MS, asleep_in, idle, in_time, next};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::{
    Context, Event, EventKind, Host, OnFailure, PushError, Queue, Restart, Result, Service, StopToken, group, task,
    worker,
};
use std::thread;
use std::time::Duration;

/// Waits until the queue is closed, and fails if that never happens.
fn wait_until_closed<T>(queue: &Queue<T>) {
    for _ in 0..60_000 {
        if queue.is_closed() {
            return;
        }
        thread::sleep(MS);
    }
    panic!("the queue never closes");
}

/// Fails each time it receives something.
fn fails_on(order: Receiver<()>) -> impl FnMut(&Context) -> Result + Send + 'static {
    move |ctx| {
        ctx.recv(&order)?;
        Err("the connection is lost".into())
    }
}

pub(crate) fn at_once() -> Restart {
    Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO).give_up_after(u32::MAX)
}

/// Returns when a service has failed and a restart is due.
fn wait_for_backoff(events: &Receiver<Event>) {
    while !matches!(next(events).kind, EventKind::Restarting { .. }) {}
}

fn left_in_queue(events: &Receiver<Event>) -> Vec<usize> {
    let left = |event: Event| match event.kind {
        EventKind::QueueNotDrained { items } => Some(items),
        _ => None,
    };
    events.try_iter().filter_map(left).collect()
}

/// A group of a consumer that reports what it handles, and a service that fails when the test says so.
fn pipeline(queue: &Queue<u32>) -> (impl Service + use<>, Sender<()>, Receiver<u32>) {
    let ((fail, failing), (sender, receiver), queue) = (unbounded(), unbounded(), queue.clone());
    let group = group(move |host| {
        let sender = sender.clone();
        host.add("handler", queue.consumer(move |n, _| Ok(sender.send(n)?)));
        host.add("flaky", worker(fails_on(failing.clone())));
        Ok(())
    });
    (group, fail, receiver)
}

// 96
#[test]
fn a_group_that_restarts_leaves_its_queue_open_and_its_next_run_consumes_on() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(10), Host::new());
        let (pipeline, fail, receiver) = pipeline(&queue);
        host.add("pipeline", pipeline).restart(at_once());
        let events = host.events();
        host.start().unwrap();
        for n in 0..20 {
            queue.push(n).unwrap();
            assert_eq!(next(&receiver), n);
            fail.send(()).unwrap();
            wait_for_backoff(&events);
        }
        queue.push(20).unwrap();
        assert_eq!(next(&receiver), 20);
        let report = host.stop(LIMIT).unwrap();
        assert_eq!(report.services[0].restarts, 20);
        assert_eq!(queue.try_push(21), Err(PushError::Closed(21)));
    });
}

#[test]
fn items_pushed_while_a_group_waits_for_its_restart_are_handled_by_its_next_run() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(10), Host::new());
        let events = host.events();
        let (pipeline, fail, receiver) = pipeline(&queue);
        host.add("pipeline", pipeline).restart(at_once().backoff(MS * 50..=MS * 50));
        host.start().unwrap();
        fail.send(()).unwrap();
        wait_for_backoff(&events);
        queue.push(1).unwrap();
        assert_eq!(next(&receiver), 1);
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn a_stop_while_a_group_waits_for_its_restart_closes_its_queue_and_keeps_the_items() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(1), Host::new());
        let events = host.events();
        let (pipeline, fail, receiver) = pipeline(&queue);
        host.add("pipeline", pipeline).restart(at_once().backoff(LIMIT..=LIMIT));
        host.start().unwrap();
        fail.send(()).unwrap();
        wait_for_backoff(&events);
        queue.push(1).unwrap();
        let pushed = queue.clone();
        let waiting = asleep_in(move || pushed.push(2));
        host.stop(LIMIT).unwrap();
        assert_eq!(waiting.result(), Err(PushError::Closed(2)));
        assert_eq!((queue.drain(), receiver.try_iter().count()), (vec![1], 0));
    });
}

#[test]
fn jobs_left_by_a_restarting_group_are_handled_by_its_next_run() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(10), Host::new());
        let events = host.events();
        let ((fail, failing), (sender, receiver), (go, gone)) = (unbounded(), unbounded(), unbounded::<()>());
        let consumed = queue.clone();
        let fill = move |host: &mut Host| {
            let (sender, gone) = (sender.clone(), gone.clone());
            let job = move |n: u32, ctx: &Context| {
                sender.send(n)?;
                if n == 1 {
                    _ = ctx.recv(&gone); // until its stop deadline
                }
                Ok(())
            };
            host.add("handler", consumed.consumer(job)).stop_timeout(MS * 30);
            host.add("flaky", worker(fails_on(failing.clone())));
            Ok(())
        };
        host.add("pipeline", group(fill)).restart(at_once());
        (1..=3).for_each(|n| queue.push(n).unwrap());
        host.start().unwrap();
        assert_eq!(next(&receiver), 1);
        fail.send(()).unwrap();
        assert_eq!([next(&receiver), next(&receiver)], [2, 3]);
        drop(go);
        host.stop(LIMIT).unwrap();
        assert_eq!((left_in_queue(&events), queue.is_empty()), (vec![], true));
    });
}

#[test]
fn producers_of_a_group_that_come_after_the_consumer_stop_before_its_queue_closes() {
    for inner_groups in [0, 1, 2] {
        in_time(move || {
            let (queue, (sender, receiver), (refuse, refused)) = (Queue::bounded(2), unbounded(), unbounded());
            let mut host = Host::new();
            let consumed = queue.clone();
            let fill = move |host: &mut Host| {
                let (sender, refuse, pushed) = (sender.clone(), refuse.clone(), consumed.clone());
                host.add("handler", consumed.consumer(move |n: u32, _| Ok(sender.send(n)?)));
                let produce = move |ctx: &Context| {
                    ctx.wait();
                    // Its own stop has been requested, and the consumer's has not.
                    (0..10).filter_map(|n| pushed.push(n).err()).try_for_each(|error| refuse.send(error))?;
                    Ok(())
                };
                host.add("producer", worker(produce));
                Ok(())
            };
            host.add("outer", nested(inner_groups, fill));
            host.start().unwrap();
            host.stop(LIMIT).unwrap();
            assert_eq!(refused.try_iter().next(), None);
            assert_eq!(receiver.try_iter().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
            assert!(queue.is_closed());
        });
    }
}

/// Puts `fill` into a group inside `depth` further groups.
pub(crate) fn nested(others: usize, fill: impl Fn(&mut Host) -> Result + Clone + Send + 'static) -> Box<dyn Service> {
    if others == 0 {
        return Box::new(group(fill));
    }
    Box::new(group(move |host| {
        host.add("inner", nested(others - 1, fill.clone()));
        Ok(())
    }))
}

/// A large item. A push of it takes a while.
type Large = [u8; 32 << 10];

// The stop comes between two pushes or during one, at random.
// 97
#[test]
fn a_stop_with_ample_time_leaves_no_accepted_job_behind() {
    for round in 0..400 {
        in_time(move || {
            let (queue, (sender, receiver), mut host) = (Queue::<Large>::bounded(2), unbounded(), Host::new());
            for name in ["one", "two"].into_iter().take(1 + round % 2) {
                let sender = sender.clone();
                host.add(name, queue.consumer(move |_, _| Ok(sender.send(())?)));
            }
            host.start().unwrap();
            let producers = [(); 2].map(|()| {
                let queue = queue.clone();
                thread::spawn(move || std::iter::from_fn(|| queue.push([1; 32 << 10]).ok()).count())
            });
            next(&receiver);
            host.stop(LIMIT).unwrap();
            let accepted: usize = producers.map(|producer| producer.join().unwrap()).iter().sum();
            assert_eq!((1 + receiver.try_iter().count(), queue.len()), (accepted, 0), "round {round}");
        });
    }
}

/// A service that contains a consumer, and fails when the test says so.
struct Fragile<S>(S, Receiver<()>);

impl<S: Service> Service for Fragile<S> {
    fn start(&mut self, ctx: &Context) -> Result {
        self.0.start(ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        ctx.recv(&self.1)?;
        Err("the disk is gone".into())
    }
}

// 96
#[test]
fn a_consumer_that_fails_finally_closes_its_queue_and_wakes_waiting_producers() {
    in_time(|| {
        let (queue, (fail, failing), mut host) = (Queue::bounded(1), bounded(1), Host::new());
        let fragile = Fragile(queue.consumer(|_: u32, _| Ok(())), failing);
        host.add("fragile", fragile).on_failure(OnFailure::Ignore);
        host.add("main", idle());
        host.start().unwrap();
        queue.push(1).unwrap();
        let pushed = queue.clone();
        let waiting = asleep_in(move || pushed.push(2));
        fail.send(()).unwrap();
        assert_eq!(waiting.result(), Err(PushError::Closed(2)));
        host.stop(LIMIT).unwrap();
        assert_eq!(queue.drain(), [1]);
    });
}

#[test]
fn a_queue_stays_open_while_a_consumer_of_another_service_may_run() {
    in_time(|| {
        let (queue, (fail, failing), (sender, receiver)) = (Queue::bounded(1), bounded(1), unbounded());
        let mut host = Host::new();
        host.add("sound", queue.consumer(move |n: u32, _| Ok(sender.send(n)?)));
        let fragile = Fragile(queue.consumer(|_: u32, _| Ok(())), failing);
        host.add("fragile", fragile).on_failure(OnFailure::Ignore);
        let events = host.events();
        host.start().unwrap();
        fail.send(()).unwrap();
        while !matches!(next(&events).kind, EventKind::Failed(_)) {}
        queue.push(1).unwrap();
        assert_eq!(next(&receiver), 1);
        host.stop(LIMIT).unwrap();
        assert!(queue.is_closed());
    });
}

#[test]
fn a_group_that_gives_up_closes_the_queue_of_its_consumer() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(10), Host::new());
        let (pipeline, fail, _told) = pipeline(&queue);
        host.add("pipeline", pipeline).restart(at_once().give_up_after(2)).on_failure(OnFailure::Ignore);
        host.add("main", idle());
        host.start().unwrap();
        for _ in 0..3 {
            assert!(!queue.is_closed(), "the consumer may be restarted");
            fail.send(()).unwrap();
        }
        wait_until_closed(&queue);
        host.stop(LIMIT).unwrap();
    });
}

/// A producer waits for room while `end` ends `host`, whose consumer never starts.
fn refused_at_the_end_of(queue: &Queue<u32>, end: impl FnOnce()) {
    queue.push(1).unwrap();
    let pushed = queue.clone();
    let waiting = asleep_in(move || pushed.push(2));
    end();
    assert_eq!(waiting.result(), Err(PushError::Closed(2)));
    assert_eq!(queue.drain(), [1]);
}

// 98
#[test]
fn a_queue_whose_consumer_never_started_closes_when_its_host_ends() {
    let host_with = |queue: &Queue<u32>| {
        let mut host = Host::new();
        host.add("disk", task(|_| Err("the disk is full".into())));
        host.add("never", queue.consumer(|_, _| Ok(())));
        host
    };
    in_time(move || {
        let queue = Queue::bounded(1);
        let mut host = host_with(&queue);
        refused_at_the_end_of(&queue, || drop(host.start().unwrap_err()));

        let queue = Queue::bounded(1);
        let mut host = host_with(&queue);
        refused_at_the_end_of(&queue, || drop(host.stop(LIMIT).unwrap()));

        let queue = Queue::bounded(1);
        let mut host = host_with(&queue);
        host.handle().request_stop();
        refused_at_the_end_of(&queue, || drop(host.run_until(&StopToken::never()).unwrap()));

        let queue = Queue::bounded(1);
        let host = host_with(&queue);
        refused_at_the_end_of(&queue, || drop(host));

        let queue = Queue::bounded(1);
        let mut host = host_with(&queue);
        host.add("never", idle()); // a duplicate name
        refused_at_the_end_of(&queue, || {
            host.start().unwrap_err();
            drop(host);
        });
    });
}

#[test]
fn a_queue_whose_only_consumer_is_added_after_the_start_closes_at_once() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(1), Host::new());
        host.start().unwrap();
        refused_at_the_end_of(&queue, || {
            host.add("late", queue.consumer(|_, _| Ok(())));
        });
    });
}

// 97
#[test]
fn items_left_by_several_consumers_are_reported_once_by_the_last_of_them() {
    in_time(|| {
        let (queue, (sender, receiver), mut host) = (Queue::bounded(10), unbounded(), Host::new());
        let events = host.events();
        for name in ["one", "two", "three"] {
            let sender = sender.clone();
            let job = move |_: u32, ctx: &Context| {
                sender.send(())?;
                Ok(ctx.sleep(Duration::MAX)?)
            };
            host.add(name, queue.consumer(job)).stop_timeout(MS * 20);
        }
        (0..8).for_each(|n| queue.push(n).unwrap());
        host.start().unwrap();
        (0..3).for_each(|_| next(&receiver));
        host.stop(LIMIT).unwrap();
        let taken = 3 + receiver.try_iter().count();
        assert_eq!((left_in_queue(&events), queue.drain().len()), (vec![8 - taken], 8 - taken));
    });
}

#[test]
fn items_left_in_a_queue_without_a_running_consumer_are_logged() {
    let log = record();
    let (queue, mut host) = (Queue::bounded(1_000), Host::new());
    host.add("never", queue.consumer(|_: u32, _| Ok(())));
    (0..789).for_each(|n| queue.push(n).unwrap());
    drop(host);
    let lines = log.containing("789 items");
    let levels: Vec<_> = lines.iter().map(|line| (line.level, &*line.target)).collect();
    assert_eq!(levels, [(Level::Warn, "hosted::queue")]);
}
