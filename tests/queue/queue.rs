//! Guarantees 69 and 71: which pushes a `Queue` accepts and refuses, and when a push waits. (The tests of consumers are
//! in `consumer`.)

use crate::support::{LIMIT, MS, next};
use crossbeam_channel::{Receiver, unbounded};
use hosted::{BoxError, Context, Host, Outcome, PushError, Queue, Result, StopReason, StopSource, StopToken, worker};
use std::error::Error;
use std::sync::Arc;
use std::thread::spawn;
use std::time::{Duration, Instant};

/// Runs `f` on another thread and sends its result.
fn aside<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> Receiver<R> {
    let (sender, receiver) = unbounded();
    spawn(move || sender.send(f()));
    receiver
}

fn full() -> Queue<u32> {
    let queue = Queue::bounded(1);
    queue.push(0).unwrap();
    queue
}

// 69
#[test]
fn clones_are_the_same_queue_and_items_come_out_in_order() {
    let queue = Queue::bounded(3);
    let clone = queue.clone();
    assert!(queue.is_empty());
    clone.push(1).unwrap();
    queue.push_timeout(2, Duration::ZERO).unwrap();
    queue.push_until(3, &StopToken::never()).unwrap();
    assert_eq!((clone.len(), clone.is_empty()), (3, false));
    assert_eq!(clone.drain(), [1, 2, 3]);
    assert!(queue.is_empty() && queue.drain().is_empty());
}

// 69
#[test]
fn every_push_into_a_closed_queue_returns_the_item() {
    let queue = Queue::bounded(5);
    queue.push("in time").unwrap();
    queue.clone().close();
    queue.close(); // closing twice changes nothing
    assert_eq!(queue.push("a"), Err(PushError::Closed("a")));
    assert_eq!(queue.try_push("b"), Err(PushError::Closed("b")));
    assert_eq!(queue.push_timeout("c", LIMIT), Err(PushError::Closed("c")));
    assert_eq!(queue.push_until("d", &StopToken::never()), Err(PushError::Closed("d")));
    assert_eq!(queue.drain(), ["in time"]);
}

// 69
#[test]
fn items_in_a_closed_queue_are_handled_before_its_consumers_complete() {
    let queue = Queue::bounded(10);
    (0..10).for_each(|n| queue.push(n).unwrap());
    queue.close();
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    for name in ["a", "b"] {
        let sender = sender.clone();
        host.add(name, queue.consumer(move |n, _| Ok(sender.send(n)?)));
    }
    let report = host.run_until(&StopToken::never()).unwrap();
    assert_eq!(report.reason, StopReason::AllCompleted);
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Completed)));
    let mut handled = receiver.try_iter().collect::<Vec<_>>();
    handled.sort_unstable();
    assert_eq!(handled, (0..10).collect::<Vec<_>>());
}

// 71
#[test]
fn a_full_queue_makes_push_wait_for_room() {
    let (queue, (sender, receiver)) = (full(), unbounded());
    for limit in [None, Some(Duration::MAX)] {
        let (queue, sender) = (queue.clone(), sender.clone());
        let push = move || limit.map_or_else(|| queue.push(1), |limit| queue.push_timeout(2, limit));
        spawn(move || sender.send(push()).unwrap());
    }
    assert!(receiver.is_empty() && queue.len() == 1);
    let mut out = Vec::new();
    for _ in 1..=2 {
        out.extend(queue.drain());
        assert_eq!(next(&receiver), Ok(())); // there is room for one of the two
    }
    out.extend(queue.drain());
    out[1..].sort_unstable();
    assert_eq!(out, [0, 1, 2]);
}

// 71
#[test]
fn try_push_and_push_timeout_report_a_full_queue() {
    let queue = full();
    assert_eq!(queue.try_push(1), Err(PushError::Full(1)));
    assert_eq!(queue.push_timeout(2, Duration::ZERO), Err(PushError::Full(2)));
    let began = Instant::now();
    assert_eq!(queue.push_timeout(3, MS * 20), Err(PushError::Full(3)));
    assert!(began.elapsed() >= MS * 20);
    assert_eq!(queue.drain(), [0]);
}

// 71
#[test]
fn a_stop_wakes_a_producer_in_push_until_which_returns_its_item() {
    for _ in 0..200 {
        let (queue, stop) = (full(), StopSource::new());
        let (theirs, token) = (queue.clone(), stop.token());
        let waits = aside(move || theirs.push_until(1, &token));
        stop.request_stop();
        assert_eq!(next(&waits), Err(PushError::Stopped(1)));
        assert_eq!(queue.drain(), [0]);
    }
}

// 71
#[test]
fn push_until_accepts_nothing_after_the_stop_even_if_there_is_room() {
    let (queue, stop) = (Queue::bounded(1), StopSource::new());
    stop.request_stop();
    assert_eq!(queue.push_until(1, &stop.token()), Err(PushError::Stopped(1)));
    assert!(queue.is_empty());
}

// 71
#[test]
fn a_producer_that_a_stop_woke_ends_cleanly_with_the_question_mark() {
    let queue = full();
    let mut host = Host::new();
    let (producer, (sender, receiver)) = (queue.clone(), unbounded());
    host.add(
        "producer",
        worker(move |ctx: &Context| {
            sender.send(())?;
            Ok(producer.push_until(1, ctx.stop_token())?)
        }),
    );
    host.start().unwrap();
    next(&receiver);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped));
    assert_eq!(report.services[0].errors, 0);
}

// 71
#[test]
fn closing_a_queue_wakes_all_waiting_producers_with_their_items() {
    for _ in 0..50 {
        let queue = full();
        let waits: Vec<_> = (1..=6)
            .map(|n| {
                let queue = queue.clone();
                aside(move || match n % 3 {
                    0 => queue.push(n),
                    1 => queue.push_until(n, &StopSource::new().token()),
                    _ => queue.push_timeout(n, LIMIT),
                })
            })
            .collect();
        queue.close();
        for (n, wait) in (1..).zip(&waits) {
            assert_eq!(next(wait), Err(PushError::Closed(n)));
        }
        assert_eq!(queue.drain(), [0]);
    }
}

// 69
#[test]
fn a_push_fails_if_the_producer_was_added_before_its_consumer() {
    let queue = Queue::bounded(1);
    let (producer, (sender, receiver)) = (queue.clone(), unbounded());
    let mut host = Host::new();
    host.add(
        "producer",
        worker(move |_| {
            loop {
                if let Err(error) = producer.push(()) {
                    sender.send(error)?;
                    return Ok(());
                }
            }
        }),
    );
    host.add("consumer", queue.consumer(|(), _| Ok(())));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    let error = next(&receiver);
    let text = error.to_string();
    assert_eq!(error, PushError::Closed(()));
    for word in ["closed", "consumer", "add producers"] {
        assert!(text.contains(word), "{text}");
    }
}

/// A type that implements no trait, but can be sent to another thread.
struct Plain;

// 69
#[test]
fn a_push_error_needs_no_traits_of_the_item() {
    fn push(queue: &Queue<Plain>) -> Result {
        Ok(queue.try_push(Plain)?) // `?` converts it into the error of a service
    }
    let queue = Queue::bounded(1);
    push(&queue).unwrap();
    let error: BoxError = push(&queue).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(PushError::Full(Plain))));
    let errors = [PushError::Full(Plain), PushError::Closed(Plain), PushError::Stopped(Plain)];
    for (error, word) in errors.into_iter().zip(["full", "closed", "stop"]) {
        assert!(error.to_string().contains(word), "{error}");
        assert!(format!("{error:?}").to_lowercase().contains(word), "{error:?}");
        let is_a_stop = (&error as &dyn Error).source().is_some();
        assert_eq!(is_a_stop, word == "stop");
        let Plain = error.into_inner();
    }
}

// 69
#[test]
fn items_left_in_a_queue_are_dropped_with_it() {
    let (item, queue) = (Arc::new(()), Queue::bounded(2));
    queue.push(item.clone()).unwrap();
    let consumer = queue.consumer(|_, _| Ok(()));
    drop(queue);
    assert_eq!(Arc::strong_count(&item), 2, "the consumer has it");
    drop(consumer);
    assert_eq!(Arc::strong_count(&item), 1);
}

// 69
#[test]
fn a_consumer_of_a_queue_without_room_is_an_error_of_start() {
    let mut host = Host::new();
    host.add("consumer", Queue::bounded(0).consumer(|(), _| Ok(())));
    let error = host.start().unwrap_err();
    assert!(error.failures().is_empty());
    assert!(error.to_string().contains("`consumer`"), "{error}");
}

#[test]
fn debug_shows_the_length_of_a_queue_and_whether_it_is_closed() {
    let queue = Queue::bounded(2);
    queue.push('a').unwrap();
    assert_eq!(format!("{queue:?}"), "Queue { len: 1, closed: false, .. }");
    queue.close();
    assert_eq!(format!("{queue:?}"), "Queue { len: 1, closed: true, .. }");
}
