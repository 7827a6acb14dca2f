//! Queues that are too large, closed twice, shared by hosts, without producers, or filled by their own consumer.

use crate::support::{LIMIT, asleep_in, in_time};
use crossbeam_channel::{bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, Outcome, Phase, PushError, Queue, StopReason, StopToken};
use std::time::Duration;

#[test]
#[should_panic = "capacity overflow"]
fn a_queue_capacity_beyond_the_address_space_panics_in_bounded() {
    drop(Queue::<u8>::bounded(usize::MAX));
}

#[test]
fn a_queue_of_capacity_zero_refuses_try_push_and_closing_wakes_a_push() {
    let queue = Queue::bounded(0);
    assert_eq!(queue.try_push(1), Err(PushError::Full(1)));
    assert_eq!(queue.push_timeout(2, Duration::ZERO), Err(PushError::Full(2)));
    let pushed = queue.clone();
    let push = asleep_in(move || pushed.push(3));
    queue.close();
    assert_eq!(push.result(), Err(PushError::Closed(3)));
    assert!(queue.drain().is_empty());
}

#[test]
fn a_job_that_pushes_into_its_own_full_queue_waits_until_the_stop() {
    in_time(|| {
        let (queue, (sender, receiver), mut host) = (Queue::bounded(1), unbounded(), Host::new());
        let own = queue.clone();
        let job = move |item: u32, _: &Context| {
            if item == 1 {
                sender.send(own.push(2))?; // the queue has room for one
                sender.send(own.push(3))?;
            }
            Ok(())
        };
        host.add("eater", queue.consumer(job));
        host.start().unwrap();
        queue.push(1).unwrap();
        assert_eq!(receiver.recv().unwrap(), Ok(()));
        assert!(receiver.try_recv().is_err(), "only the consumer itself could make room");
        host.stop(LIMIT).unwrap();
        assert_eq!(receiver.recv().unwrap(), Err(PushError::Closed(3)));
        assert!(queue.is_empty(), "every accepted item has been handled");
    });
}

#[test]
fn a_job_may_close_its_own_queue_and_its_consumer_then_completes() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(3), Host::new());
        let own = queue.clone();
        let job = move |_: u32, _: &Context| {
            own.close();
            own.close(); // closing again changes nothing
            Ok(())
        };
        host.add("eater", queue.consumer(job));
        (1..=3).for_each(|item| queue.push(item).unwrap());
        let report = host.run_until(&StopToken::never()).unwrap();
        assert_eq!((&report.reason, report.services[0].errors), (&StopReason::AllCompleted, 0));
        assert!(queue.is_empty() && queue.try_push(4) == Err(PushError::Closed(4)));
    });
}

#[test]
fn a_queue_without_producers_stays_open_and_its_consumer_waits_for_the_stop() {
    in_time(|| {
        let (queue, (sender, receiver), mut host) = (Queue::bounded(1), unbounded(), Host::new());
        host.add("eater", queue.consumer(move |item: u32, _| Ok(sender.send(item)?)));
        queue.push(1).unwrap();
        drop(queue);
        host.start().unwrap();
        assert_eq!(receiver.recv(), Ok(1));
        let report = host.stop(LIMIT).unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    });
}

#[test]
fn a_queue_of_two_hosts_closes_at_the_stop_of_the_second() {
    in_time(|| {
        let (queue, (sender, receiver)) = (Queue::bounded(1), unbounded());
        let mut hosts = [Host::new(), Host::new()];
        for host in &mut hosts {
            let sender = sender.clone();
            host.add("eater", queue.consumer(move |item: u32, _| Ok(sender.send(item)?)));
            host.start().unwrap();
        }
        let [first, second] = &mut hosts;
        first.stop(LIMIT).unwrap();
        queue.push(1).unwrap();
        assert_eq!(receiver.recv(), Ok(1));
        second.stop(LIMIT).unwrap();
        assert_eq!(queue.try_push(2), Err(PushError::Closed(2)));
    });
}

#[test]
fn an_item_is_either_drained_or_handled_and_never_both() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(10), Host::new());
        let ((came, comes), (go, gone), (sender, receiver)) = (bounded(0), bounded::<()>(0), unbounded());
        let job = move |item: u32, _: &Context| {
            sender.send(item)?;
            came.send(())?;
            Ok(gone.recv()?)
        };
        host.add("eater", queue.consumer(job));
        host.start().unwrap();
        (1..=10).for_each(|item| queue.push(item).unwrap());
        comes.recv().unwrap();
        assert_eq!(queue.drain(), (2..=10).collect::<Vec<u32>>());
        go.send(()).unwrap();
        host.stop(LIMIT).unwrap();
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
    });
}

/// A job that panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("boom");
    }
}

#[test]
fn a_batch_function_may_add_items_to_its_batch() {
    in_time(|| {
        let (queue, time, (tell, told)) = (Queue::bounded(2), ManualClock::new(), unbounded());
        let mut host = Host::with_clock(time.clock());
        let f = move |batch: &mut Vec<u32>, _: &Context| {
            tell.send(batch.clone())?;
            if batch.len() > 3 || batch[0] == 2 {
                return Ok(());
            }
            batch.extend([7, 8]);
            Err("not yet".into())
        };
        host.add("store", queue.batch_consumer(3, Duration::ZERO, f));
        host.start().unwrap();
        queue.push(1).unwrap();
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), [1]);
        time.wait_for_sleepers(1);
        queue.push(2).unwrap();
        time.advance(Duration::from_secs(1));
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), [1, 7, 8]); // full, so it takes no more
        time.wait_for_sleepers(1);
        time.advance(Duration::from_secs(2));
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), [1, 7, 8, 7, 8]);
        assert_eq!(told.recv_timeout(LIMIT).unwrap(), [2]);
        host.stop(LIMIT).unwrap();
        assert!(queue.is_empty());
    });
}

#[test]
fn an_item_whose_drop_panics_fails_only_its_job_or_its_consumer() {
    in_time(|| {
        let (queue, mut host) = (Queue::bounded(2), Host::new());
        let (sender, receiver) = unbounded();
        let job = move |bomb: Bomb, _: &Context| {
            sender.send(())?;
            drop(bomb);
            Ok(())
        };
        host.add("eater", queue.consumer(job));
        queue.push(Bomb).unwrap();
        host.start().unwrap();
        receiver.recv().unwrap();
        assert_eq!(host.stop(LIMIT).unwrap().services[0].errors, 1);

        let (queue, mut host) = (Queue::bounded(1), Host::new());
        queue.push(Bomb).unwrap();
        let consumer = queue.consumer(|_, _| Ok(()));
        drop(queue);
        host.add("eater", hosted::worker(move |_| Ok(_ = &consumer)));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let [failure] = error.failures() else { panic!("one failure: {error}") };
        assert_eq!((failure.service(), failure.phase()), ("eater", Phase::Drop));
    });
}
