//! Batch consumers, alone and beside consumers: full queues, failures, stops, restarts, and jobs that go back.

use super::consumers::{add_flaky, join, over, restarts};
use super::queue::{Ledger, producer};
use super::stage::{Stage, spawn};
use crate::models::explore::{expect, explore};
use crate::stop::run_out;
use crate::sync::time;
use crate::{Context, PushError, Queue, Service, StopSource, StopToken, group};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A batch consumer of two items, whose first `failures` batches fail: of each it handles all but the last item.
fn batches(queue: &Queue<u32>, ledger: &Ledger, linger: Duration, mut failures: u32) -> impl Service + use<> {
    let ledger = ledger.clone();
    queue.batch_consumer(2, linger, move |batch, _| {
        expect(!batch.is_empty() && batch.len() <= 2, "a batch has an item, and no more than two");
        if failures == 0 {
            batch.iter().for_each(|item| ledger.handled(*item));
            return Ok(());
        }
        failures -= 1;
        batch.drain(..batch.len() - 1).for_each(|item| ledger.handled(item));
        Err("no connection".into())
    })
}

#[test]
fn batch_consumers_that_stop_together_leave_no_accepted_item() {
    for linger in [Duration::ZERO, Duration::MAX] {
        explore(move || {
            time::stands_still();
            let (queue, ledger) = (Queue::bounded(1), Ledger::default());
            let stops = [StopSource::new(), StopSource::new()];
            let consumers = stops.each_ref().map(|stop| {
                let mut consumer = batches(&queue, &ledger, linger, 0);
                // Started before the stop is requested, as a host does it.
                let ctx = Context::new("consumer", stop.token());
                consumer.start(&ctx).unwrap();
                spawn("consumer", move || consumer.run(&ctx).unwrap())
            });
            let producers = [[1, 2], [3, 4]].map(|items| producer(&queue, &ledger, items));
            let requesters = stops.map(|stop| spawn("requester", move || _ = stop.request_stop()));
            join(consumers.into_iter().chain(producers).chain(requesters));
            assert!(queue.is_closed());
            assert!(ledger.balance(&queue).is_empty(), "accepted, and left behind in a stop without a deadline");
        });
    }
}

// Time stands still: without a wake-up, both would sleep forever.
#[test]
fn a_full_queue_wakes_a_batch_consumer_that_wants_more_than_it_holds() {
    explore(|| {
        time::stands_still();
        let queue = Queue::bounded(1);
        let filled = queue.clone();
        let filler = spawn("filler", move || {
            let mut batch = Vec::new();
            filled.fill(&mut batch, 4, Duration::MAX, &Context::new("filler", StopToken::never())).unwrap();
            batch
        });
        (1..=4).for_each(|item| queue.push(item).unwrap());
        assert_eq!(filler.join().unwrap(), [1, 2, 3, 4]);
    });
}

#[test]
fn a_batch_that_waits_for_more_passes_items_on_to_a_consumer_that_sleeps() {
    explore(|| {
        time::stands_still();
        let queue = Queue::bounded(4);
        let (filled, received) = (queue.clone(), queue.clone());
        let filler = spawn("filler", move || {
            let mut batch = Vec::new();
            filled.fill(&mut batch, 3, Duration::MAX, &Context::new("filler", StopToken::never())).unwrap();
            batch
        });
        let receiver = spawn("receiver", move || received.recv(&Context::new("receiver", StopToken::never())));
        (1..=4).for_each(|item| queue.push(item).unwrap());
        let mut items = filler.join().unwrap();
        items.push(receiver.join().unwrap().unwrap());
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3, 4]);
    });
}

#[test]
fn the_end_of_the_wait_for_more_items_loses_no_item() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, ledger) = (Queue::bounded(2), Ledger::default());
        let outside = producer(&queue, &ledger, [1, 2]);
        stage.host.add("one", batches(&queue, &ledger, SECOND, 0)).after::<&str>([]);
        stage.host.add("two", batches(&queue, &ledger, SECOND, 0)).after::<&str>([]);
        stage.host.start().unwrap();
        ledger.two_handled.token().wait();
        outside.join().unwrap();
        let result = stage.stop();
        assert!(ledger.balance(&queue).is_empty());
        over(result, &queue);
    });
}

#[test]
fn items_that_a_batch_consumer_puts_back_wake_a_consumer_that_sleeps() {
    explore(|| {
        time::stands_still();
        let (queue, retired) = (Queue::bounded(1), StopSource::new());
        let id = queue.new_consumer_id();
        queue.register(id, &retired.token(), true);
        queue.mark_running(id);
        let [first, second] = ["first", "second"].map(|name| {
            let queue = queue.clone();
            spawn(name, move || queue.recv(&Context::new(name, StopToken::never())))
        });
        queue.unregister(id, vec![1, 2]);
        let mut items = [first, second].map(|thread| thread.join().unwrap().unwrap());
        items.sort_unstable();
        assert_eq!(items, [1, 2]);
    });
}

#[test]
fn a_stop_during_failures_handles_everything_that_was_accepted() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        stage.host.add("one", batches(&queue, &ledger, SECOND, 2)).after::<&str>([]);
        stage.host.add("two", batches(&queue, &ledger, Duration::ZERO, 1)).after::<&str>([]);
        let outside = producer(&queue, &ledger, [1, 2]);
        let result = stage.start_and_stop();
        outside.join().unwrap();
        assert!(ledger.balance(&queue).is_empty(), "accepted, and left behind in a stop without a deadline");
        over(result, &queue);
    });
}

#[test]
fn a_failed_batch_is_drained_if_the_stop_has_no_time_for_it() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, ledger) = (Queue::bounded(2), Ledger::default());
        stage.host.add("one", batches(&queue, &ledger, SECOND, 3)).stop_timeout(SECOND);
        stage.host.add("two", batches(&queue, &ledger, Duration::ZERO, 1)).stop_timeout(SECOND);
        let outside = producer(&queue, &ledger, [1, 2]);
        stage.host.start().unwrap();
        let timer = spawn("timer", || (0..3).for_each(|_| run_out()));
        let result = stage.stop();
        join([outside, timer]);
        ledger.balance(&queue);
        over(result, &queue);
    });
}

#[test]
fn a_group_that_restarts_handles_what_its_failed_batches_left() {
    explore(|| {
        let mut stage = Stage::running();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        let (consumed, noted, mut life) = (queue.clone(), ledger.clone(), 0);
        let fill = move |host: &mut crate::Host| {
            life += 1;
            host.stop_timeout(Duration::MAX).add("store", batches(&consumed, &noted, Duration::ZERO, 1));
            add_flaky(host, life);
            Ok(())
        };
        stage.host.add("group", group(fill)).restart(restarts());
        let outside = producer(&queue, &ledger, [1, 2]);
        stage.host.start().unwrap();
        ledger.two_handled.token().wait();
        outside.join().unwrap();
        assert!(!queue.is_closed(), "closed by a stop that is not the last");
        let result = stage.stop();
        assert!(ledger.balance(&queue).is_empty());
        over(result, &queue);
    });
}

#[test]
fn a_batch_consumer_that_puts_items_back_into_a_closed_queue_lets_nobody_push() {
    explore(|| {
        time::stands_still();
        let (queue, retired) = (Queue::bounded(2), StopSource::new());
        let id = queue.new_consumer_id();
        queue.register(id, &retired.token(), true);
        queue.mark_running(id);
        let pushing = queue.clone();
        let pusher = spawn("pusher", move || pushing.push(3));
        let requester = spawn("requester", move || _ = retired.request_stop());
        queue.mark_stop_requested(id);
        let abandoned = queue.unregister(id, vec![1, 2]);
        requester.join().unwrap();
        let pushed = pusher.join().unwrap();
        assert!(queue.is_closed());
        let items = queue.drain();
        assert!(matches!((&*items, pushed), ([1, 2, 3], Ok(())) | ([1, 2], Err(PushError::Closed(3)))), "{items:?}");
        // Counted by this step, unless the retirement comes later and counts them.
        assert!(abandoned == 0 || abandoned == items.len());
    });
}
