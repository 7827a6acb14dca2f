//! A queue, as far as nobody waits in crossbeam's channel: pushes that do not wait, the closing, and what is left.

use super::stage::spawn;
use crate::models::explore::explore;
use crate::sync::time;
use crate::{PushError, Queue};
use std::sync::{Arc, Mutex};

#[test]
fn what_a_queue_accepted_is_there_for_drain_and_a_refused_item_comes_back() {
    explore(|| {
        time::stands_still();
        let queue = Queue::bounded(2);
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let pushers = [1, 2, 3].map(|item| {
            let (queue, accepted) = (queue.clone(), accepted.clone());
            spawn("pusher", move || match queue.try_push(item) {
                Ok(()) => accepted.lock().unwrap().push(item),
                Err(PushError::Full(back) | PushError::Closed(back)) => assert_eq!(back, item),
                Err(other) => panic!("{other:?}"),
            })
        });
        queue.close();
        let mut drained = queue.drain();
        assert!(matches!(queue.try_push(4), Err(PushError::Closed(4))));
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        assert!(queue.is_empty(), "accepted after the closing");
        drained.sort();
        accepted.lock().unwrap().sort();
        assert_eq!(drained, *accepted.lock().unwrap());
    });
}

#[test]
fn whoever_sees_a_queue_closed_is_refused_by_it() {
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
fn exactly_one_of_the_consumers_that_leave_is_the_last() {
    explore(|| {
        time::stands_still();
        let queue = Queue::<()>::bounded(1);
        (0..3).for_each(|_| queue.join());
        let last = Arc::new(Mutex::new(0));
        let leavers = [0; 3].map(|_| {
            let (queue, last) = (queue.clone(), last.clone());
            spawn("leaver", move || {
                if queue.leave() == 0 {
                    *last.lock().unwrap() += 1;
                }
            })
        });
        leavers.into_iter().for_each(|leaver| leaver.join().unwrap());
        assert_eq!(*last.lock().unwrap(), 1);
    });
}
