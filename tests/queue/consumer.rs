//! Guarantees 69 and 70: what a consumer does with its jobs, at a stop request and at the stop deadline.

use super::with_token::with_token;
use crate::support::{LIMIT, MS, next};
use crossbeam_channel::{Receiver, bounded, unbounded};
use hosted::{
    Context, Event, EventKind, Host, HostError, Outcome, PushError, Queue, Report, Result, Service, StopSource,
    StopToken, Stopped,
};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

type Stopping = JoinHandle<(Host, Result<Report, HostError>)>;

fn stop_aside(mut host: Host, timeout: Duration) -> Stopping {
    spawn(move || {
        let result = host.stop(timeout);
        (host, result)
    })
}

fn left_in_queue(events: &Receiver<Event>) -> Vec<(String, usize)> {
    let left = |event: Event| match event.kind {
        EventKind::QueueNotDrained { items } => Some((event.service.unwrap().to_string(), items)),
        _ => None,
    };
    events.try_iter().filter_map(left).collect()
}

// 69
#[test]
fn a_job_that_fails_or_panics_is_logged_and_counted_and_affects_no_other_job() {
    let queue = Queue::bounded(4);
    (1..=4).for_each(|n| queue.push(n).unwrap());
    queue.close();
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    let events = host.events();
    host.add(
        "mailer",
        queue.consumer(move |n, _| {
            sender.send(n)?;
            match n {
                1 => Err("no such address".into()),
                2 => panic!("no such letter"),
                3 => Err(Stopped.into()), // as if from another token
                _ => Ok(()),
            }
        }),
    );
    let report = host.run_until(&StopToken::never()).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(matches!(report.services[0].outcome, Outcome::Completed));
    assert_eq!((report.services[0].errors, report.services[0].restarts), (3, 0));
    let is_report = |event: &Event| matches!(event.kind, EventKind::Reported { .. });
    let said = events.try_iter().filter(is_report).map(|event| event.to_string()).collect::<Vec<_>>();
    let expected = ["no such address", "a job panicked: no such letter", "stop requested"];
    assert_eq!(said, expected.map(|text| format!("service `mailer` reported an error: {text}")));
    assert_eq!(host.handle().services()[0].last_error.as_deref(), Some("stop requested"));
}

// 70
#[test]
fn a_stop_request_does_not_interrupt_a_job_that_sleeps_or_receives() {
    let queue = Queue::bounded(1);
    let (go, gone) = bounded(0);
    let (sender, receiver) = unbounded();
    let (consumer, tokens) = with_token(queue.consumer(move |(), ctx| {
        sender.send(Ok(()))?;
        let received = ctx.recv(&gone).map_err(|_| Stopped);
        Ok(sender.send(received.and_then(|()| ctx.sleep(MS)).and_then(|()| ctx.check()))?)
    }));
    let mut host = Host::new();
    host.add("consumer", consumer);
    host.start().unwrap();
    let token = next(&tokens);
    queue.push(()).unwrap();
    next(&receiver).unwrap();
    let stopping = stop_aside(host, LIMIT);
    token.wait();
    assert!(receiver.is_empty(), "it still waits");
    go.send_timeout((), LIMIT).unwrap();
    assert_eq!(next(&receiver), Ok(()));
    let report = stopping.join().unwrap().1.unwrap();
    assert_eq!(report.services[0].errors, 0);
}

// 70
#[test]
fn at_the_stop_deadline_a_jobs_context_is_stopped_and_no_job_is_taken() {
    let queue = Queue::bounded(3);
    (1..=3).for_each(|n| queue.push(n).unwrap());
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    let events = host.events();
    host.add(
        "consumer",
        queue.consumer(move |n, ctx| {
            sender.send((n, None))?;
            let slept = ctx.sleep(Duration::MAX);
            sender.send((n, Some((slept, ctx.stop_deadline(), Instant::now()))))?;
            Ok(slept?)
        }),
    );
    host.start().unwrap();
    assert_eq!(next(&receiver), (1, None));
    let report = host.stop(MS * 2_000).unwrap(); // 100 ms of them are the margin of the deadline
    let (_, end) = next(&receiver);
    let (slept, deadline, at) = end.unwrap();
    assert_eq!(slept, Err(Stopped));
    // The job's token stops before the deadline, by at most half of the time.
    assert!(at + MS * 1_000 >= deadline.expect("a stop has a deadline"), "the token stopped too early");
    assert!(receiver.is_empty(), "the consumer took a job after the deadline");
    assert_eq!(queue.drain(), [2, 3]);
    assert_eq!(report.services[0].errors, 1, "the job was not done, and failed");
    assert_eq!(left_in_queue(&events), [("consumer".to_owned(), 2)]);
}

// 70
#[test]
fn a_consumers_own_stop_timeout_is_its_stop_deadline() {
    let queue = Queue::bounded(2);
    (1..=2).for_each(|n| queue.push(n).unwrap());
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    host.add(
        "consumer",
        queue.consumer(move |n, ctx| {
            sender.send(n)?;
            Ok(ctx.sleep(Duration::MAX)?)
        }),
    )
    .stop_timeout(MS * 50);
    host.start().unwrap();
    next(&receiver);
    host.stop(Duration::MAX).unwrap(); // hangs if the consumer waits
    assert_eq!(queue.drain(), [2]);
}

// 70
#[test]
fn a_queue_closes_at_the_stop_request_of_its_last_consumer_even_during_a_job() {
    let queue = Queue::bounded(1);
    let (go, gone) = unbounded::<()>();
    let (sender, receiver) = unbounded();
    let (consumer, tokens) = with_token(queue.consumer(move |n, _| {
        sender.send(n)?;
        Ok(gone.recv()?)
    }));
    let mut host = Host::new();
    host.add("consumer", consumer);
    host.start().unwrap();
    queue.push(1).unwrap();
    next(&receiver);
    queue.push(2).unwrap();
    let (refused, refuses) = unbounded();
    let theirs = queue.clone();
    spawn(move || refused.send(theirs.push(3)).unwrap()); // waits, because the queue is full
    let stopping = stop_aside(host, LIMIT);
    next(&tokens).wait();
    let refusal = refuses.recv_timeout(LIMIT / 6);
    (0..3).for_each(|_| go.send(()).unwrap());
    stopping.join().unwrap().1.unwrap();
    assert_eq!(refusal, Ok(Err(PushError::Closed(3))), "a producer still waits for room that nobody will make");
    assert_eq!((next(&receiver), queue.drain()), (2, vec![]));
}

// 70
#[test]
fn a_consumer_without_a_host_finishes_its_queue_after_the_stop_and_closes_it() {
    let (queue, stop) = (Queue::bounded(3), StopSource::new());
    (1..=3).for_each(|n| queue.push(n).unwrap());
    stop.request_stop();
    let mut handled = Vec::new();
    let (sender, receiver) = unbounded();
    let ctx = Context::new("consumer", stop.token());
    let mut consumer = queue.consumer(move |n, job| Ok(sender.send((n, job.stop_requested(), job.stop_deadline()))?));
    consumer.run(&ctx).unwrap(); // as in a unit test, without `start`
    handled.extend(receiver.try_iter());
    assert_eq!(handled, [1, 2, 3].map(|n| (n, false, None)), "without a host there is no deadline");
    assert_eq!(queue.try_push(4), Err(PushError::Closed(4)));
}

// 69
#[test]
fn a_consumer_without_a_host_ends_when_its_queue_is_closed_and_empty() {
    for started in [false, true] {
        let queue = Queue::bounded(3);
        let (sender, receiver) = unbounded();
        let ctx = Context::new("consumer", StopSource::new().token());
        let mut consumer = queue.consumer(move |n, _| {
            sender.send(n)?;
            Err("is logged".into())
        });
        (1..=3).for_each(|n| queue.push(n).unwrap());
        queue.close();
        if started {
            consumer.start(&ctx).unwrap();
        }
        consumer.run(&ctx).unwrap();
        consumer.stop(&ctx).unwrap();
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }
}
