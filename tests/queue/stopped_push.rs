//! Guarantees 34 and 71: producers that wait for room, and receive a stop request, find a closed queue, or get room.

use crate::support::{LIMIT, asleep_in, in_time};
use crossbeam_channel::bounded;
use hosted::{PushError, Queue, StopSource};
use std::sync::{Arc, Barrier};
use std::thread;

/// In some of a hundred rounds, both happen between two checks of the producer. On one core this takes a thousand
/// rounds.
// 34, 71
#[test]
fn a_producer_stopped_before_its_queue_closes_gets_the_stop_as_its_error() {
    for _ in 0..2_000 {
        let (queue, stop, ready) = (Queue::bounded(1), StopSource::new(), Arc::new(Barrier::new(2)));
        let (theirs, token, begin) = (queue.clone(), stop.token(), ready.clone());
        let (sender, receiver) = bounded(1);
        thread::spawn(move || {
            begin.wait();
            let push = || theirs.push_until(1, &token).map(|()| drop(theirs.drain()));
            sender.send(std::iter::repeat_with(push).find_map(Result::err)).unwrap();
        });
        ready.wait();
        stop.request_stop();
        queue.close();
        assert_eq!(receiver.recv_timeout(LIMIT).unwrap(), Some(PushError::Stopped(1)));
    }
}

#[test]
fn a_stop_wakes_a_producer_even_if_another_callback_of_its_token_blocks() {
    in_time(|| {
        let (queue, stop, (release, held)) = (Queue::bounded(1), StopSource::new(), bounded::<()>(0));
        let token = stop.token();
        let _blocks = token.on_stop(move || _ = held.recv());
        queue.push(1).unwrap();
        let waiting = asleep_in(move || queue.push_until(2, &token));
        let requester = thread::spawn(move || stop.request_stop());
        assert_eq!(waiting.result(), Err(PushError::Stopped(2)));
        drop(release);
        requester.join().unwrap();
    });
}

#[test]
fn every_producer_that_waits_for_room_gets_it_when_there_is_some() {
    in_time(|| {
        let queue = Queue::bounded(3);
        (0..3).for_each(|n| queue.push(n).unwrap());
        let producers: Vec<_> = (3..9)
            .map(|n| {
                let queue = queue.clone();
                asleep_in(move || queue.push(n))
            })
            .collect();
        let mut items = Vec::new();
        while items.len() < 9 {
            items.extend(queue.drain());
            thread::yield_now();
        }
        assert!(producers.iter().all(|producer| producer.result() == Ok(())));
        items.sort_unstable();
        assert_eq!(items, (0..9).collect::<Vec<_>>());
    });
}
