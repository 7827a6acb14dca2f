//! A queue without a host: pushes, takes, closing, and consumers that the model runs.

use super::stage::spawn;
use crate::models::explore::{expect, explore};
use crate::stop::run_out;
use crate::sync::thread::JoinHandle;
use crate::sync::time;
use crate::{Context, PushError, Queue, Service, StopSource, StopToken};
use std::sync::{Arc, Mutex};

/// The accepted and the handled items. Uses the standard library's lock, which is no step of the schedule.
#[derive(Clone, Default)]
pub(super) struct Ledger {
    accepted: Arc<Mutex<Vec<u32>>>,
    handled: Arc<Mutex<Vec<u32>>>,
    /// Stopped when two items have been handled.
    pub(super) two_handled: StopSource,
}

impl Ledger {
    /// Records a push that was accepted. A refused push must return the item that was pushed.
    pub(super) fn pushed(&self, item: u32, pushed: Result<(), PushError<u32>>) -> Result<(), PushError<u32>> {
        match &pushed {
            Ok(()) => self.accepted.lock().unwrap().push(item),
            Err(PushError::Full(back) | PushError::Closed(back) | PushError::Stopped(back)) => {
                expect(*back == item, "a refused item comes back");
            }
        }
        pushed
    }

    pub(super) fn handled(&self, item: u32) {
        let handled = {
            let mut handled = self.handled.lock().unwrap();
            handled.push(item);
            handled.len()
        };
        if handled == 2 {
            self.two_handled.request_stop();
        }
    }

    /// Asserts that each accepted item was handled once or is drained here. Returns the drained items.
    pub(super) fn balance(&self, queue: &Queue<u32>) -> Vec<u32> {
        let drained = queue.drain();
        let mut found = [self.handled.lock().unwrap().clone(), drained.clone()].concat();
        let mut accepted = self.accepted.lock().unwrap().clone();
        found.sort_unstable();
        accepted.sort_unstable();
        assert_eq!(accepted, found, "each accepted item is handled or drained once");
        drained
    }
}

/// Pushes `items` until the queue is closed.
pub(super) fn producer(queue: &Queue<u32>, ledger: &Ledger, items: [u32; 2]) -> JoinHandle<()> {
    let (queue, ledger) = (queue.clone(), ledger.clone());
    spawn("producer", move || {
        for item in items {
            if ledger.pushed(item, queue.push(item)).is_err() {
                expect(queue.is_closed(), "only a closed queue refuses a push that waits");
                return;
            }
        }
    })
}

/// Requests the stop on another thread.
fn request_on_a_thread(stop: StopSource) -> JoinHandle<()> {
    spawn("requester", move || {
        stop.request_stop();
    })
}

/// A consumer that runs without a host until `stop`.
fn consumer(queue: &Queue<u32>, ledger: &Ledger, stop: StopToken) -> JoinHandle<()> {
    let ledger = ledger.clone();
    let mut consumer = queue.consumer(move |item, _| Ok(ledger.handled(item)));
    // Start the consumer before any stop request, as a host does.
    let ctx = Context::new("consumer", stop);
    consumer.start(&ctx).unwrap();
    spawn("consumer", move || consumer.run(&ctx).unwrap())
}

#[test]
fn drain_returns_accepted_items_and_a_refused_push_returns_its_item() {
    explore(|| {
        time::stands_still();
        let (queue, ledger) = (Queue::bounded(2), Ledger::default());
        let pushers = [1, 2, 3].map(|item| {
            let (queue, ledger) = (queue.clone(), ledger.clone());
            spawn("pusher", move || {
                _ = ledger.pushed(item, queue.try_push(item));
            })
        });
        queue.close();
        let drained = queue.drain();
        assert!(matches!(queue.try_push(4), Err(PushError::Closed(4))));
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert!(queue.is_empty(), "accepted after the queue was closed");
        drained.into_iter().for_each(|item| ledger.handled(item));
        ledger.balance(&queue);
    });
}

#[test]
fn a_thread_that_sees_a_queue_closed_is_refused_by_it() {
    explore(|| {
        time::stands_still();
        let queue = Queue::bounded(2);
        let closing = queue.clone();
        let closer = spawn("closer", move || closing.close());
        if queue.is_closed() {
            assert!(matches!(queue.try_push(1), Err(PushError::Closed(1))));
        }
        closer.join().unwrap();
        assert!(queue.is_closed());
    });
}

#[test]
fn consumers_that_stop_together_leave_no_accepted_item() {
    explore(|| {
        time::stands_still();
        let (queue, ledger) = (Queue::bounded(1), Ledger::default());
        let stops = [StopSource::new(), StopSource::new()];
        let consumers = stops.each_ref().map(|stop| consumer(&queue, &ledger, stop.token()));
        let producers = [[1, 2], [3, 4]].map(|items| producer(&queue, &ledger, items));
        let requesters = stops.map(request_on_a_thread);
        let all = consumers.into_iter().chain(producers).chain(requesters);
        all.for_each(|thread| thread.join().unwrap());
        assert!(queue.is_closed());
        assert!(ledger.balance(&queue).is_empty(), "a stop without a deadline left accepted items");
    });
}

#[test]
fn items_that_a_consumer_has_no_time_for_are_drained() {
    explore(|| {
        time::stands_still();
        let (queue, ledger, stop) = (Queue::bounded(1), Ledger::default(), StopSource::new());
        let consumer = consumer(&queue, &ledger, stop.token());
        let producer = producer(&queue, &ledger, [1, 2]);
        let timer = spawn("timer", run_out);
        stop.request_stop();
        [consumer, producer, timer].into_iter().for_each(|thread| thread.join().unwrap());
        assert!(queue.is_closed());
        ledger.balance(&queue);
    });
}

#[test]
fn a_producer_that_stops_passes_on_the_room_it_was_woken_for() {
    explore(|| {
        time::stands_still();
        let (queue, stop) = (Queue::bounded(1), StopSource::new());
        queue.try_push(0).unwrap();
        let (first, token) = (queue.clone(), stop.token());
        let first = spawn("first", move || first.push_until(1, &token));
        let second = queue.clone();
        let second = spawn("second", move || second.push(2));
        let requester = request_on_a_thread(stop);
        let mut items = queue.drain();
        let got_in = first.join().unwrap().is_ok();
        if got_in {
            items.extend(queue.drain()); // and makes room
        }
        second.join().unwrap().unwrap();
        requester.join().unwrap();
        items.extend(queue.drain());
        items.sort_unstable();
        assert_eq!(items, if got_in { vec![0, 1, 2] } else { vec![0, 2] });
    });
}

#[test]
fn a_producer_whose_timeout_expires_passes_on_the_room_it_was_woken_for() {
    explore(|| {
        time::runs_one_in(3);
        let queue = Queue::bounded(1);
        queue.try_push(0).unwrap();
        let first = queue.clone();
        let first = spawn("first", move || first.push_timeout(1, std::time::Duration::from_secs(1)));
        let second = queue.clone();
        let second = spawn("second", move || second.push(2));
        queue.drain();
        if first.join().unwrap().is_ok() {
            queue.drain();
        }
        second.join().unwrap().unwrap();
    });
}

// Use single takes instead of consumers: a consumer that stops takes the item itself if time is left.
#[test]
fn a_consumer_that_stops_passes_on_the_item_it_was_woken_for() {
    explore(|| {
        time::stands_still();
        let (queue, stop) = (Queue::bounded(1), StopSource::new());
        let (first, token) = (queue.clone(), stop.token());
        let first = spawn("first", move || first.recv(&Context::new("first", token.clone())));
        let second = queue.clone();
        let second = spawn("second", move || second.recv(&Context::new("second", StopToken::never())));
        let requester = request_on_a_thread(stop);
        queue.push(1).unwrap();
        if first.join().unwrap().is_ok() {
            queue.push(2).unwrap();
        }
        assert!(second.join().unwrap().is_ok());
        requester.join().unwrap();
        assert!(queue.is_empty());
    });
}

#[test]
fn a_queue_closes_only_after_its_retirement_and_its_consumers_stop_request() {
    explore(|| {
        time::stands_still();
        let (queue, retired, stop_requested) = (Queue::<u32>::bounded(1), StopSource::new(), StopSource::new());
        let id = queue.new_consumer_id();
        queue.register(id, &retired.token(), true);
        queue.mark_running(id);
        let (both, watched) = ([retired.token(), stop_requested.token()], queue.clone());
        let watcher = spawn("watcher", move || {
            let closed = watched.is_closed();
            assert!(!closed || both.iter().all(StopToken::stop_requested), "closed too early");
        });
        let observer = queue.clone();
        let requester = spawn("requester", move || {
            stop_requested.request_stop();
            observer.mark_stop_requested(id);
        });
        retired.request_stop();
        requester.join().unwrap();
        watcher.join().unwrap();
        assert!(queue.is_closed());
    });
}

#[test]
fn a_scope_that_is_retired_while_it_is_attached_closes_its_queue() {
    explore(|| {
        time::stands_still();
        let (queue, retired) = (Queue::<u32>::bounded(1), StopSource::new());
        queue.try_push(1).unwrap();
        let pushing = queue.clone();
        let pusher = spawn("pusher", move || pushing.push(2));
        let token = retired.token();
        let retirer = request_on_a_thread(retired);
        let attached = [(); 2].map(|()| {
            let (queue, token) = (queue.clone(), token.clone());
            spawn("attached", move || {
                let mut consumer = queue.consumer(|_, _| Ok(()));
                consumer.attach(&token);
            })
        });
        assert!(matches!(pusher.join().unwrap(), Err(PushError::Closed(2))));
        attached.into_iter().chain([retirer]).for_each(|thread| thread.join().unwrap());
        assert_eq!(queue.drain(), [1]);
    });
}
