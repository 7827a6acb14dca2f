//! Guarantees 34 and 71: a producer that receives its stop request while its queue closes.

use crate::support::LIMIT;
use crossbeam_channel::bounded;
use hosted::{PushError, Queue, StopSource};
use std::sync::{Arc, Barrier};
use std::thread;

/// Both come between two looks of the producer in some of a hundred rounds; on one core, in some of a thousand.
// 34, 71
#[test]
fn a_producer_stopped_before_its_queue_closes_gets_the_stop_as_its_error() {
    for _ in 0..2_000 {
        let (queue, stop, ready) = (Queue::bounded(1), StopSource::new(), Arc::new(Barrier::new(2)));
        let (theirs, token, begin) = (queue.clone(), stop.token(), ready.clone());
        let (told, tells) = bounded(1);
        thread::spawn(move || {
            begin.wait();
            let push = || theirs.push_until(1, &token).map(|()| drop(theirs.drain()));
            told.send(std::iter::repeat_with(push).find_map(Result::err)).unwrap();
        });
        ready.wait();
        stop.request_stop();
        queue.close();
        assert_eq!(tells.recv_timeout(LIMIT).unwrap(), Some(PushError::Stopped(1)));
    }
}
