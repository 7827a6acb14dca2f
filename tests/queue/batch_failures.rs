//! Guarantees 116 and 117: batches that fail, and what a stop leaves of them. (Batches that succeed: `batch`.)

use crate::batch::{Batches, queue_of, sends};
use crate::protocol::at_once;
use crate::support::{LIMIT, MS, SECOND, in_time, next};
use crate::with_token::with_token;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{
    Context, Event, EventKind, Host, Outcome, PushError, Queue, Result, Service, StopReason, StopSource, StopToken,
    group,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::spawn;
use std::time::{Duration, Instant};

/// What the function of a batch consumer does with a batch.
enum Do {
    Handle,
    /// Removes so many items, and fails.
    Fail(usize),
    Panic(usize),
}

/// A function that sends each batch to the test, and does what the test says.
fn obeys() -> (impl FnMut(&mut Vec<u32>, &Context) -> Result + Send, Batches, Sender<Do>) {
    let ((tell, told), (order, orders)) = (unbounded(), unbounded());
    let f = move |batch: &mut Vec<u32>, _: &Context| {
        tell.send(batch.clone())?;
        match orders.recv_timeout(LIMIT)? {
            Do::Handle => Ok(()),
            Do::Fail(handled) => {
                batch.drain(..handled);
                Err("no connection".into())
            }
            Do::Panic(handled) => {
                batch.drain(..handled);
                panic!("no memory")
            }
        }
    };
    (f, told, order)
}

fn reports(events: &Receiver<Event>) -> Vec<String> {
    let text = |event: Event| if let EventKind::Reported { error } = event.kind { Some(error) } else { None };
    events.try_iter().filter_map(text).collect()
}

fn not_drained(events: &Receiver<Event>) -> Vec<usize> {
    let items = |event: Event| if let EventKind::QueueNotDrained { items } = event.kind { Some(items) } else { None };
    events.try_iter().filter_map(items).collect()
}

fn pass(time: &ManualClock, seconds: u64) {
    time.wait_for_sleepers(1);
    time.advance(Duration::from_secs(seconds));
}

// 116
#[test]
fn what_a_failed_batch_leaves_is_offered_again_first_after_a_backoff() {
    in_time(|| {
        let ((f, batches, order), time, queue) = (obeys(), ManualClock::new(), queue_of(1..=4));
        let mut host = Host::with_clock(time.clock());
        let events = host.events();
        host.add("store", queue.batch_consumer(4, Duration::ZERO, f));
        host.start().unwrap();
        assert_eq!(next(&batches), [1, 2, 3, 4]);
        queue.push(5).unwrap();
        queue.push(6).unwrap();
        order.send(Do::Fail(1)).unwrap();
        for (seconds, and_then) in [(1, Do::Fail(0)), (2, Do::Panic(0)), (4, Do::Fail(0)), (8, Do::Panic(1))] {
            time.wait_for_sleepers(1);
            time.advance(Duration::from_secs(seconds) - MS);
            time.wait_for_sleepers(1);
            time.advance(MS);
            assert_eq!(next(&batches), [2, 3, 4, 5]);
            order.send(and_then).unwrap();
        }
        for seconds in [16, 30, 30] {
            pass(&time, seconds);
            assert_eq!(next(&batches), [3, 4, 5, 6]);
            order.send(if seconds == 16 { Do::Fail(0) } else { Do::Panic(0) }).unwrap();
        }
        pass(&time, 30);
        assert_eq!(next(&batches), [3, 4, 5, 6]);
        order.send(Do::Handle).unwrap();
        queue.push(7).unwrap();
        assert_eq!(next(&batches), [7]);
        order.send(Do::Fail(0)).unwrap();
        pass(&time, 1); // the first backoff again
        assert_eq!(next(&batches), [7]);
        order.send(Do::Handle).unwrap();
        let report = host.stop(LIMIT).unwrap();
        assert_eq!((report.services[0].errors, queue.len()), (9, 0));
        let reports = reports(&events);
        assert_eq!(reports.len(), 9);
        assert_eq!((&*reports[0], &*reports[2]), ("no connection", "a batch panicked: no memory"));
    });
}

// 116
#[test]
fn a_batch_that_fails_and_leaves_nothing_costs_no_backoff() {
    in_time(|| {
        let ((f, batches, order), time, queue) = (obeys(), ManualClock::new(), queue_of(1..=2));
        let mut host = Host::with_clock(time.clock()); // the clock stands still
        host.add("store", queue.batch_consumer(1, Duration::ZERO, f));
        host.start().unwrap();
        assert_eq!(next(&batches), [1]);
        order.send(Do::Fail(1)).unwrap();
        assert_eq!(next(&batches), [2]);
        order.send(Do::Panic(1)).unwrap();
        let report = host.stop(LIMIT).unwrap();
        assert_eq!((report.services[0].errors, queue.len()), (2, 0));
    });
}

/// Counts its drops, and panics in each.
struct PanicsInDrop(Arc<AtomicUsize>);

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("no drop");
    }
}

// 116
#[test]
fn after_ok_every_job_of_a_batch_is_handled_and_dropped_even_if_its_drop_panics() {
    in_time(|| {
        let (drops, queue, mut host) = (Arc::new(AtomicUsize::new(0)), Queue::bounded(3), Host::new());
        let (events, (tell, told)) = (host.events(), unbounded());
        for _ in 0..3 {
            queue.push(PanicsInDrop(drops.clone())).unwrap_or_else(|_| unreachable!("there is room"));
        }
        queue.close();
        let f = move |batch: &mut Vec<PanicsInDrop>, _: &Context| Ok(tell.send(batch.len())?);
        host.add("store", queue.batch_consumer(10, Duration::ZERO, f));
        let report = host.run_until(&StopToken::never()).unwrap();
        assert_eq!((told.try_iter().collect::<Vec<_>>(), drops.load(Ordering::SeqCst)), (vec![3], 3));
        assert!(matches!(report.services[0].outcome, Outcome::Completed));
        assert_eq!(reports(&events), ["a job panicked in its `Drop`: no drop"; 3]);
    });
}

#[test]
fn a_batch_consumer_of_a_closed_queue_completes_when_its_failed_batch_is_handled() {
    in_time(|| {
        let ((f, batches, order), time, queue) = (obeys(), ManualClock::new(), queue_of([1]));
        let mut host = Host::with_clock(time.clock());
        host.add("store", queue.batch_consumer(5, Duration::ZERO, f));
        host.start().unwrap();
        next(&batches);
        queue.close();
        order.send(Do::Fail(0)).unwrap();
        time.wait_for_sleepers(1);
        assert!(!host.handle().stopping().stop_requested(), "an accepted job is left");
        time.advance(SECOND);
        assert_eq!(next(&batches), [1]);
        order.send(Do::Handle).unwrap();
        assert_eq!(host.wait(), StopReason::AllCompleted);
    });
}

// 117
#[test]
fn a_stop_ends_the_backoff_and_offers_the_batch_until_it_is_handled() {
    in_time(|| {
        let ((f, batches, order), time, queue) = (obeys(), ManualClock::new(), queue_of(1..=3));
        let mut host = Host::with_clock(time.clock());
        host.add("store", queue.batch_consumer(2, Duration::ZERO, f));
        host.start().unwrap();
        next(&batches);
        for seconds in [1, 2, 4] {
            order.send(Do::Fail(0)).unwrap();
            pass(&time, seconds);
            next(&batches);
        }
        order.send(Do::Fail(1)).unwrap();
        time.wait_for_sleepers(1);
        let stopping = spawn(move || host.stop(LIMIT));
        assert_eq!(next(&batches), [2, 3], "the stop ends the backoff");
        assert_eq!(queue.try_push(4), Err(PushError::Closed(4)));
        for seconds in [1, 2] {
            order.send(Do::Fail(0)).unwrap();
            pass(&time, seconds);
            assert_eq!(next(&batches), [2, 3]);
        }
        order.send(Do::Handle).unwrap();
        let report = stopping.join().unwrap().unwrap();
        assert_eq!((report.services[0].errors, queue.len()), (6, 0));
    });
}

// 117
#[test]
fn what_is_left_at_the_stop_deadline_is_drained_in_its_order() {
    in_time(|| {
        let (queue, mut host) = (queue_of(1..=9), Host::new());
        let (events, (tell, told)) = (host.events(), unbounded());
        let f = move |batch: &mut Vec<u32>, _: &Context| {
            tell.send(batch.remove(0))?;
            Err("no connection".into())
        };
        host.add("store", queue.batch_consumer(4, Duration::ZERO, f)).stop_timeout(MS * 100);
        host.start().unwrap();
        assert_eq!(next(&told), 1);
        let report = host.stop(LIMIT).unwrap();
        let handled: Vec<u32> = [1].into_iter().chain(told.try_iter()).collect();
        let drained = queue.drain();
        assert!(!drained.is_empty(), "a backoff is longer than the deadline");
        assert_eq!([handled, drained.clone()].concat(), (1..=9).collect::<Vec<_>>());
        assert_eq!(not_drained(&events), [drained.len()], "counted once");
        assert!(matches!(report.services[0].outcome, Outcome::Stopped));
    });
}

// 117
#[test]
fn the_context_of_a_batch_stops_before_the_stop_deadline_and_not_at_the_request() {
    in_time(|| {
        let ((tell, told), queue, mut host) = (unbounded(), queue_of(1..=3), Host::new());
        let f = move |batch: &mut Vec<u32>, job: &Context| {
            tell.send(Instant::now())?;
            job.wait();
            batch.remove(0);
            tell.send(Instant::now())?;
            assert!(job.stop_deadline().is_some_and(|deadline| Instant::now() < deadline));
            Ok(job.check()?)
        };
        let (consumer, tokens) = with_token(queue.batch_consumer(2, Duration::ZERO, f));
        host.add("store", consumer).stop_timeout(SECOND);
        host.start().unwrap();
        next(&told);
        let token = next(&tokens);
        let stopping = spawn(move || host.stop(LIMIT));
        token.wait();
        assert!(told.is_empty(), "interrupted by the stop request");
        next(&told);
        let report = stopping.join().unwrap().unwrap();
        assert_eq!((report.services[0].errors, queue.drain(), told.len()), (1, vec![2, 3], 0));
    });
}

// 117
#[test]
fn the_next_run_of_a_group_takes_first_what_a_failed_batch_left() {
    in_time(|| {
        let (queue, (fail, failing), (tell, told)) = (queue_of(1..=3), bounded::<()>(1), unbounded());
        let (mut host, consumed, mut life) = (Host::new(), queue.clone(), 0);
        let fill = move |host: &mut Host| {
            life += 1;
            let (life, tell, failing) = (life, tell.clone(), failing.clone());
            let f = move |batch: &mut Vec<u32>, _: &Context| {
                tell.send((life, batch.clone()))?;
                if life == 1 { Err("no connection".into()) } else { Ok(()) }
            };
            host.add("store", consumed.batch_consumer(2, Duration::ZERO, f)).stop_timeout(MS * 20);
            let flaky = move |ctx: &Context| {
                ctx.recv(&failing)?;
                Err("the connection is lost".into())
            };
            host.add("flaky", hosted::worker(flaky));
            Ok(())
        };
        let events = host.events();
        host.add("group", group(fill)).restart(at_once());
        host.start().unwrap();
        assert_eq!(next(&told), (1, vec![1, 2]));
        fail.send(()).unwrap();
        let second = std::iter::from_fn(|| Some(next(&told))).find(|call| call.0 == 2).unwrap();
        assert_eq!((second.1, next(&told)), (vec![1, 2], (2, vec![3])));
        assert!(!queue.is_closed());
        host.stop(LIMIT).unwrap();
        assert_eq!((not_drained(&events), queue.len()), (vec![], 0));
    });
}

// 117
#[test]
fn another_consumer_takes_first_what_a_batch_consumer_leaves() {
    in_time(|| {
        let (queue, (tell, told), (go, gone)) = (queue_of(1..=2), unbounded(), bounded::<()>(0));
        let mut failing = Host::new();
        let f = |_: &mut Vec<u32>, _: &Context| Err("no connection".into());
        failing.add("store", queue.batch_consumer(2, Duration::ZERO, f)).stop_timeout(MS * 20);
        let events = failing.events();
        failing.start().unwrap();
        while !matches!(next(&events).kind, EventKind::Reported { .. }) {}
        (3..=5).for_each(|n| queue.push(n).unwrap());
        let mut sound = Host::new();
        sound.add(
            "store",
            queue.consumer(move |n: u32, ctx| {
                tell.send(n)?;
                Ok(ctx.recv(&gone)?)
            }),
        );
        sound.start().unwrap();
        assert_eq!(next(&told), 3);
        failing.stop(LIMIT).unwrap(); // it puts 1 and 2 back, in front of 4 and 5
        assert!(!queue.is_closed());
        drop(go);
        sound.stop(LIMIT).unwrap();
        assert_eq!((told.try_iter().collect::<Vec<_>>(), not_drained(&events)), (vec![1, 2, 4, 5], vec![]));
    });
}

/// Calls `run` of the service that it contains, and fails afterwards.
struct FailsAfterwards<S>(S);

impl<S: Service> Service for FailsAfterwards<S> {
    fn attach(&mut self, retired: &StopToken) {
        self.0.attach(retired);
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.0.run(ctx)?;
        Err("the disk is gone".into())
    }
}

#[test]
fn a_batch_consumer_that_fails_finally_leaves_its_jobs_to_drain() {
    in_time(|| {
        let (queue, mut host) = (queue_of(1..=5), Host::new());
        let f = |batch: &mut Vec<u32>, _: &Context| {
            batch.truncate(2);
            Err("no connection".into())
        };
        let events = host.events();
        let consumer = FailsAfterwards(queue.batch_consumer(3, Duration::ZERO, f));
        host.add("store", consumer).stop_timeout(MS * 50).restart(at_once());
        host.start().unwrap();
        while !matches!(next(&events).kind, EventKind::Reported { .. }) {}
        host.stop(LIMIT).unwrap_err();
        assert_eq!((queue.is_closed(), queue.drain()), (true, vec![1, 2, 5]));
    });
}

#[test]
fn a_batch_consumer_without_a_host_handles_its_queue_after_the_stop_and_closes_it() {
    in_time(|| {
        let (queue, stop, (send, batches)) = (queue_of(1..=3), StopSource::new(), sends());
        stop.request_stop();
        let ctx = Context::new("store", stop.token());
        queue.batch_consumer(2, Duration::MAX, send).run(&ctx).unwrap(); // as a unit test does it, without `start`
        assert_eq!(batches.try_iter().collect::<Vec<_>>(), [vec![1, 2], vec![3]]);
        assert_eq!(queue.try_push(4), Err(PushError::Closed(4)));
    });
}
