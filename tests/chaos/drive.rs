//! Plays a schedule: builds the host, does what the schedule says, and waits until everything has exited.

use super::actor::add_all;
use super::left;
use super::schedule::{AMPLE, Drive, Schedule};
use super::world::{Job, STACK, Step, World};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use hosted::{Event, Host, HostError, HostHandle, Report, ServiceState, StopReason, StopSource, worker};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The result of one schedule.
pub struct Played {
    pub events: Vec<Event>,
    /// The result of `wait`.
    pub waited: Option<StopReason>,
    /// The result of the last stop, after the unresponsive services were released. `None` if the host was dropped.
    pub end: Option<Result<Report, HostError>>,
    /// The items that no consumer handled.
    pub drained: Vec<u64>,
    /// The number of items left in the queue, as each report about them gives it.
    pub left: Vec<usize>,
    /// Whether the queue was closed when the last thread of the host had exited. `None` without a consumer.
    pub closed: Option<bool>,
}

/// How late a deadline may be on a busy machine.
const SLACK: Duration = Duration::from_secs(15);

pub fn play(schedule: &Schedule, world: &Arc<World>) -> Played {
    let mut host = match &world.clock {
        Some(clock) => Host::with_clock(clock.clock()),
        None => Host::new(),
    };
    add_all(&mut host, &schedule.services, world, "");
    host.stop_timeout(schedule.stop_timeout);
    schedule.start_timeout.map(|limit| host.start_timeout(limit).handle());
    left::forget();
    let producers = start_producers(schedule.outside, world);
    let events = host.events();
    let listener = thread::spawn(move || events.iter().collect());
    let handle = host.handle();
    let (over, outside) = bounded::<()>(0);
    let outside = {
        let (fuse, world, handle) = (schedule.fuse, world.clone(), handle.clone());
        thread::spawn(move || observe(&outside, fuse, &world, &handle))
    };
    let (waited, end) = drive(host, schedule, world);
    wait_until_no_service_is_hung(handle);
    drop(over);
    outside.join().expect("the observer outside the host fails no assertion");
    world.drop_kept();
    // The events end when the last thread of the host exits. A dropped host may have left threads behind.
    let events: Vec<Event> = listener.join().expect("the listener does not panic");
    let closed = world.has_consumer.load(Ordering::SeqCst).then(|| world.queue.is_closed());
    world.queue.close(); // no consumer has closed it
    producers.into_iter().for_each(|producer| producer.join().expect("a producer does not panic"));
    let drained = world.queue.drain().into_iter().map(|job| job.item).collect();
    let left = left::reports(&events);
    Played { events, waited, end, drained, left, closed }
}

/// Starts threads outside the host that push until the queue is closed.
fn start_producers(threads: usize, world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let produce = |_| {
        let world = world.clone();
        let producer = thread::Builder::new().stack_size(STACK);
        let producer = producer.spawn(move || {
            loop {
                let item = world.next_item();
                match world.queue.push(Job::of(item)) {
                    Ok(()) => world.accepted.lock().push(item),
                    Err(_) => return,
                }
            }
        });
        producer.expect("a thread")
    };
    (0..threads).map(produce).collect()
}

/// Once no service is unresponsive, every service must show its outcome, even if the host is gone and nobody stops it
/// again.
fn wait_until_no_service_is_hung(handle: HostHandle) {
    let began = Instant::now();
    while let Some(row) = handle.services().into_iter().find(|row| row.state == ServiceState::Hung) {
        assert!(began.elapsed() < SLACK, "`{}` stays hung: {:?}", row.name, row.blocked_in);
        thread::yield_now();
    }
}

/// Observes the services, moves the clock, and requests the stop when the fuse has burnt down.
fn observe(over: &Receiver<()>, fuse: Duration, world: &World, handle: &HostHandle) {
    let mut names = None;
    let burnt = Instant::now() + fuse;
    let mut requested = false;
    while over.recv_timeout(Duration::from_micros(500)) == Err(RecvTimeoutError::Timeout) {
        let seen: Vec<_> = handle.services().into_iter().map(|service| service.name).collect();
        let top: Vec<_> = seen.into_iter().filter(|name| !name.contains('/') && **name != *"late").collect();
        assert_eq!(*names.get_or_insert(top.clone()), top, "the list of services has changed");
        world.touch_clock();
        if !requested && Instant::now() >= burnt {
            world.note_outside(Step::Requested);
            handle.request_stop();
            requested = true;
        }
    }
}

type End = (Option<StopReason>, Option<Result<Report, HostError>>);

fn drive(mut host: Host, schedule: &Schedule, world: &Arc<World>) -> End {
    let timeout = schedule.stop_timeout;
    let mut waited = None;
    match schedule.drive {
        Drive::RunUntil | Drive::RequestedBefore => {
            let stop = StopSource::new();
            world.note_outside(Step::Requested);
            match schedule.drive {
                Drive::RunUntil => stop.request_stop_after(schedule.fuse),
                _ => host.handle().request_stop(),
            }
            _ = in_time(timeout, || host.run_until(&stop.token()));
        }
        _ => {
            waited = start(&mut host, schedule, world);
            if matches!(schedule.drive, Drive::StartDrop) {
                in_time(timeout, || drop(host));
                world.release();
                return (None, None);
            }
            _ = in_time(timeout, || host.stop(timeout));
        }
    }
    // Release the unresponsive services only now: the calls above must not depend on them.
    world.release();
    (waited, Some(host.stop(AMPLE)))
}

/// Starts the host and does everything before the stop. Returns the result of `wait` if the schedule calls it.
fn start(host: &mut Host, schedule: &Schedule, world: &Arc<World>) -> Option<StopReason> {
    // A failed start and its rollback take at most the fuse and the stop timeout.
    if in_time(schedule.stop_timeout, || host.start()).is_ok() {
        world.note_outside(Step::HostStarted);
    }
    if matches!(schedule.drive, Drive::StartWaitStop) {
        return Some(host.wait());
    }
    world.note_outside(Step::Requested); // the stop that follows requests it
    match schedule.drive {
        Drive::AddAndStartAgain => {
            host.add("late", worker(|_| panic!("a service that was added after the start must not run")));
            assert!(host.start().unwrap_err().failures().is_empty());
        }
        Drive::StopThreeTimes => _ = in_time(Duration::ZERO, || host.stop(Duration::ZERO)),
        _ => {}
    }
    None
}

fn in_time<R>(limit: Duration, f: impl FnOnce() -> R) -> R {
    let began = Instant::now();
    let result = f();
    let limit = limit.saturating_add(SLACK);
    assert!(began.elapsed() < limit, "a deadline was exceeded: {:?}", began.elapsed());
    result
}
