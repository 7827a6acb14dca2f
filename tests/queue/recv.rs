//! Guarantees 118 and 150: a service of your own receives from a queue.

use crate::batch::queue_of;
use crate::support::{LIMIT, MS, SECOND, asleep_in, in_time, next};
use crossbeam_channel::unbounded;
use hosted::testing::ManualClock;
use hosted::{Context, Host, Outcome, Queue, RecvError, StopSource, StopToken, Stopped, worker};
use std::error::Error;
use std::time::Duration;

fn context() -> Context {
    Context::new("receiver", StopToken::never())
}

// 118
#[test]
fn recv_returns_the_items_in_order_and_then_that_the_queue_is_closed() {
    let (queue, ctx) = (queue_of(1..=2), context());
    queue.close();
    assert_eq!([queue.recv(&ctx), queue.recv(&ctx)], [Ok(1), Ok(2)]);
    assert_eq!(queue.recv(&ctx), Err(RecvError::Disconnected));
    assert_eq!(queue.recv_timeout(&ctx, LIMIT), Err(RecvError::Disconnected));
}

// 118
#[test]
fn recv_waits_for_an_item_and_for_the_close() {
    in_time(|| {
        let queue = Queue::bounded(1);
        let receiving = queue.clone();
        let waiting = asleep_in(move || receiving.recv(&context()));
        queue.push(1).unwrap();
        assert_eq!(waiting.result(), Ok(1));
        let receiving = queue.clone();
        let waiting = asleep_in(move || receiving.recv(&context()));
        queue.close();
        assert_eq!(waiting.result(), Err(RecvError::Disconnected));
    });
}

// 118
#[test]
fn recv_returns_stopped_at_a_stop_even_if_the_queue_has_items_and_is_closed() {
    in_time(|| {
        let (queue, stop) = (Queue::bounded(2), StopSource::new());
        let ctx = Context::new("receiver", stop.token());
        let (receiving, waits) = (queue.clone(), ctx.clone());
        let waiting = asleep_in(move || receiving.recv(&waits));
        stop.request_stop();
        assert_eq!(waiting.result(), Err(RecvError::Stopped));
        queue.push(1).unwrap();
        queue.close();
        assert_eq!(queue.recv(&ctx), Err(RecvError::Stopped));
        assert_eq!(queue.recv_timeout(&ctx, Duration::ZERO), Err(RecvError::Stopped));
        assert_eq!(queue.drain(), [1]);
    });
}

// 118
#[test]
fn a_service_that_returns_the_error_of_recv_stops_cleanly() {
    in_time(|| {
        let innermost = |error: &dyn Error| error.source().map(ToString::to_string);
        assert_eq!(innermost(&RecvError::Stopped), innermost(&Stopped));
        let (queue, mut host) = (Queue::<u32>::bounded(1), Host::new());
        host.add(
            "receiver",
            worker(move |ctx| {
                loop {
                    queue.recv(ctx)?;
                }
            }),
        );
        host.start().unwrap();
        let report = host.stop(LIMIT).unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    });
}

// 118
#[test]
fn a_service_that_closes_its_queue_and_receives_the_rest_loses_nothing() {
    in_time(|| {
        let (queue, (tell, told), (go, gone)) = (Queue::bounded(10), unbounded(), unbounded::<()>());
        let (receiving, mut host) = (queue.clone(), Host::new());
        host.add(
            "receiver",
            worker(move |ctx| {
                let first = receiving.recv(ctx)?;
                tell.send(first)?;
                gone.recv_timeout(LIMIT)?;
                receiving.close();
                let until_deadline = ctx.for_job();
                while let Ok(item) = receiving.recv(&until_deadline) {
                    tell.send(item)?;
                }
                Ok(())
            }),
        );
        host.start().unwrap();
        (1..=5).for_each(|n| queue.push(n).unwrap());
        assert_eq!(next(&told), 1);
        host.handle().request_stop();
        go.send(()).unwrap();
        host.stop(LIMIT).unwrap();
        assert_eq!((told.try_iter().collect::<Vec<_>>(), queue.is_closed()), (vec![2, 3, 4, 5], true));
    });
}

// 150
#[test]
fn recv_timeout_returns_none_when_the_limit_has_passed_by_the_clock_of_the_context() {
    in_time(|| {
        let (queue, time) = (queue_of([]), ManualClock::new());
        let receives = || {
            let (queue, ctx) = (queue.clone(), context().with_clock(time.clock()));
            asleep_in(move || queue.recv_timeout(&ctx, SECOND))
        };
        let waiting = receives();
        time.wait_for_sleepers(1);
        time.advance(SECOND - MS);
        queue.push(1).unwrap();
        assert_eq!(waiting.result(), Ok(Some(1)));
        let waiting = receives();
        time.wait_for_sleepers(1);
        time.advance(SECOND);
        assert_eq!(waiting.result(), Ok(None));
    });
}

// 150
#[test]
fn recv_timeout_of_zero_never_waits_and_the_longest_limit_is_no_limit() {
    in_time(|| {
        let (queue, ctx) = (queue_of([1]), context());
        assert_eq!(queue.recv_timeout(&ctx, Duration::ZERO), Ok(Some(1)));
        assert_eq!(queue.recv_timeout(&ctx, Duration::ZERO), Ok(None));
        assert_eq!(queue.recv_timeout(&ctx, MS), Ok(None));
        let receiving = queue.clone();
        let waiting = asleep_in(move || receiving.recv_timeout(&context(), Duration::MAX));
        queue.push(2).unwrap();
        assert_eq!(waiting.result(), Ok(Some(2)));
    });
}

#[test]
fn recv_of_a_queue_without_room_waits_until_the_stop() {
    in_time(|| {
        let (queue, stop) = (Queue::<u32>::bounded(0), StopSource::new());
        let ctx = Context::new("receiver", stop.token());
        assert_eq!(queue.recv_timeout(&ctx, MS), Ok(None));
        let waiting = asleep_in(move || queue.recv(&ctx));
        stop.request_stop();
        assert_eq!(waiting.result(), Err(RecvError::Stopped));
    });
}
