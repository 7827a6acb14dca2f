//! Guarantees 115 and 119: when a batch consumer calls its function, and with which jobs.
//! (Batches that fail, and stops: `batch_failures`.)

use crate::support::log::record;
use crate::support::{LIMIT, MS, SECOND, asleep_in, idle, in_time, next};
use crossbeam_channel::{Receiver, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, Outcome, Queue, Restart, Result, StopReason, StopToken};
use std::thread::{sleep, spawn};
use std::time::Duration;

/// The batches that a function received.
pub(crate) type Batches = Receiver<Vec<u32>>;

/// A function of a batch consumer that sends each batch to the test.
pub(crate) fn sends() -> (impl FnMut(&mut Vec<u32>, &Context) -> Result + Send, Batches) {
    let (tell, told) = unbounded();
    let f = move |batch: &mut Vec<u32>, _: &Context| {
        tell.send(batch.clone()).unwrap(); // the test has the receiver
        Ok(())
    };
    (f, told)
}

/// A queue with room for 100 that has these items.
pub(crate) fn queue_of(items: impl IntoIterator<Item = u32>) -> Queue<u32> {
    let queue = Queue::bounded(100);
    items.into_iter().for_each(|item| queue.push(item).unwrap());
    queue
}

/// A started host by a manual clock, with one batch consumer.
fn started(queue: &Queue<u32>, max: usize, linger: Duration) -> (Host, ManualClock, Batches) {
    let (time, (send, batches)) = (ManualClock::new(), sends());
    let mut host = Host::with_clock(time.clock());
    host.add("store", queue.batch_consumer(max, linger, send));
    host.start().unwrap();
    (host, time, batches)
}

// 115
#[test]
fn a_full_batch_waits_for_no_more_jobs() {
    in_time(|| {
        for linger in [Duration::ZERO, SECOND, Duration::MAX] {
            let queue = queue_of(1..=6);
            let (mut host, _stands_still, batches) = started(&queue, 3, linger);
            assert_eq!([next(&batches), next(&batches)], [vec![1, 2, 3], vec![4, 5, 6]]);
            host.stop(LIMIT).unwrap();
            assert!(batches.is_empty() && queue.is_empty());
        }
    });
}

// 115
#[test]
fn a_batch_is_handled_when_linger_has_passed_since_its_first_job() {
    in_time(|| {
        let queue = queue_of([1]);
        let (mut host, time, batches) = started(&queue, 100, SECOND);
        time.wait_for_sleepers(1);
        time.advance(SECOND - MS);
        queue.push(2).unwrap(); // does not begin a new wait
        assert!(batches.is_empty());
        time.advance(MS);
        assert_eq!(next(&batches), [1, 2]);
        queue.push(3).unwrap();
        time.wait_for_sleepers(1);
        time.advance(SECOND);
        assert_eq!(next(&batches), [3], "the next batch has its own time");
        host.stop(LIMIT).unwrap();
    });
}

// 115
#[test]
fn a_batch_that_fills_up_while_it_waits_is_handled_at_once() {
    in_time(|| {
        let queue = queue_of([1]);
        let (mut host, time, batches) = started(&queue, 3, Duration::MAX);
        time.wait_for_sleepers(1);
        queue.push(2).unwrap();
        queue.push(3).unwrap();
        queue.push(4).unwrap();
        assert_eq!(next(&batches), [1, 2, 3]);
        host.stop(LIMIT).unwrap();
        assert_eq!(next(&batches), [4]);
    });
}

#[test]
fn with_a_linger_of_zero_a_batch_is_what_is_in_the_queue() {
    in_time(|| {
        let queue = queue_of([1, 2]);
        let (mut host, _time, batches) = started(&queue, 100, Duration::ZERO);
        assert_eq!(next(&batches), [1, 2]);
        queue.push(3).unwrap();
        assert_eq!(next(&batches), [3]);
        host.stop(LIMIT).unwrap();
    });
}

// 115
#[test]
fn a_stop_or_a_closed_queue_ends_the_wait_for_more_jobs() {
    in_time(|| {
        let queue = queue_of([1, 2]);
        let (host, time, batches) = started(&queue, 100, Duration::MAX);
        time.wait_for_sleepers(1);
        queue.close();
        assert_eq!(next(&batches), [1, 2]);
        assert!(matches!(host.wait(), StopReason::AllCompleted));

        let queue = queue_of([1, 2]);
        let (mut host, time, batches) = started(&queue, 100, Duration::MAX);
        time.wait_for_sleepers(1);
        let report = host.stop(LIMIT).unwrap();
        assert_eq!(next(&batches), [1, 2]);
        assert!(matches!(report.services[0].outcome, Outcome::Stopped));
        assert!(queue.is_closed() && queue.is_empty());
    });
}

// 119
#[test]
fn a_full_queue_makes_room_while_a_larger_batch_waits() {
    in_time(|| {
        let (queue, (send, batches)) = (Queue::bounded(2), sends());
        let mut host = Host::new();
        host.add("store", queue.batch_consumer(7, Duration::MAX, send));
        host.start().unwrap();
        (1..=7).for_each(|n| queue.push(n).unwrap());
        assert_eq!(next(&batches), [1, 2, 3, 4, 5, 6, 7]);
        host.stop(LIMIT).unwrap();
    });
}

// 119
#[test]
fn a_batch_that_waits_for_more_jobs_holds_back_no_other_consumer() {
    in_time(|| {
        let queue = queue_of([1]);
        let (mut host, time, batches) = started(&queue, 100, Duration::MAX);
        time.wait_for_sleepers(1); // it has job 1, and waits for 99 more
        let receiving = queue.clone();
        let received = asleep_in(move || receiving.recv(&Context::new("other", StopToken::never())));
        queue.push(2).unwrap();
        assert_eq!(received.result(), Ok(2));
        host.stop(LIMIT).unwrap();
        assert_eq!(next(&batches), [1]);
    });
}

#[test]
fn a_batch_of_one_is_a_job() {
    in_time(|| {
        let queue = queue_of(1..=3);
        let (mut host, _time, batches) = started(&queue, 1, Duration::MAX);
        assert_eq!([next(&batches), next(&batches), next(&batches)], [[1], [2], [3]]);
        host.stop(LIMIT).unwrap();
    });
}

// 115
#[test]
fn a_batch_has_no_limit_if_max_is_the_largest_number() {
    in_time(|| {
        let queue = queue_of(0..100);
        let (mut host, time, batches) = started(&queue, usize::MAX, SECOND);
        time.wait_for_sleepers(1);
        time.advance(SECOND);
        assert_eq!(next(&batches), (0..100).collect::<Vec<_>>());
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn a_batch_consumer_of_a_closed_queue_is_complete_under_every_restart_policy() {
    in_time(|| {
        for restart in [Restart::never(), Restart::on_failure(), Restart::always()] {
            let (queue, (send, batches), mut host) = (queue_of([1, 2]), sends(), Host::new());
            queue.close();
            host.add("store", queue.batch_consumer(10, Duration::MAX, send)).restart(restart);
            let report = host.run_until(&StopToken::never()).unwrap();
            assert_eq!((&report.reason, report.services[0].restarts), (&StopReason::AllCompleted, 0));
            assert!(matches!(report.services[0].outcome, Outcome::Completed));
            assert_eq!(batches.try_iter().collect::<Vec<_>>(), [[1, 2]]);
        }
    });
}

// 115
#[test]
fn a_batch_size_of_zero_is_an_error_of_start_that_names_it() {
    let (queue, mut host) = (queue_of([1]), Host::new());
    host.add("main", idle());
    host.add("store", queue.batch_consumer(0, Duration::ZERO, |_, _| Ok(())));
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("invalid service `store`: batch size `max` must not be zero"), "{error}");
    drop(host);
    assert_eq!(queue.drain(), [1]);

    let mut host = Host::new();
    host.add("store", Queue::<u32>::bounded(0).batch_consumer(1, Duration::ZERO, |_, _| Ok(())));
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("invalid service `store`: queue capacity must not be zero"), "{error}");
}

#[test]
fn a_batch_is_logged_with_its_size() {
    in_time(|| {
        let (log, queue, (send, batches), mut host) = (record(), queue_of(0..77), sends(), Host::new());
        host.add("batch-logger", queue.batch_consumer(100, Duration::ZERO, send));
        host.start().unwrap();
        next(&batches);
        host.stop(LIMIT).unwrap();
        assert_eq!(log.containing("service `batch-logger`: batch of 77 jobs started").len(), 1);
    });
}

// 119
#[test]
fn every_accepted_job_is_in_one_batch_of_several_batch_consumers_and_consumers() {
    in_time(|| {
        const EACH: u32 = 3_000;
        let (queue, (tell, told), mut host) = (Queue::bounded(50), unbounded(), Host::new());
        for (max, linger) in [(3, MS), (20, Duration::ZERO), (70, Duration::MAX)] {
            let tell = tell.clone();
            let f = move |batch: &mut Vec<u32>, _: &Context| {
                assert!(!batch.is_empty() && batch.len() <= max);
                Ok(batch.drain(..).try_for_each(|n| tell.send(n))?)
            };
            host.add(format!("batches of {max}"), queue.batch_consumer(max, linger, f)).independent();
        }
        host.add("consumer", queue.consumer(move |n, _| Ok(tell.send(n)?))).independent();
        host.start().unwrap();
        let producers = [0, 1].map(|p| {
            let queue = queue.clone();
            spawn(move || {
                for n in 0..EACH {
                    queue.push(p * EACH + n).unwrap();
                    if n % 500 == 0 {
                        sleep(MS); // so that the consumers fall asleep now and then
                    }
                }
            })
        });
        producers.into_iter().for_each(|producer| producer.join().unwrap());
        let report = host.stop(LIMIT).unwrap();
        let mut handled: Vec<_> = told.try_iter().collect();
        handled.sort_unstable();
        assert_eq!(handled, (0..2 * EACH).collect::<Vec<_>>());
        assert!(queue.is_empty() && report.services.iter().all(|row| row.errors == 0), "{report}");
    });
}
