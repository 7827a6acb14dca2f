//! Plays a schedule: builds the host, does what the schedule says, and brings everything to its end.

use super::actor::add_all;
use super::left;
use super::schedule::{AMPLE, Drive, Schedule};
use super::world::{Job, STACK, Step, World};
use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};
use hosted::{Event, Health, Host, HostError, HostHandle, Report, ServiceState, StopReason, StopSource, worker};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What came of it.
pub struct Played {
    pub events: Vec<Event>,
    /// What `wait` said.
    pub waited: Option<StopReason>,
    /// The result of the last stop, when nobody was unresponsive any more. `None`: the host was dropped.
    pub end: Option<Result<Report, HostError>>,
    /// What nobody handled.
    pub drained: Vec<u64>,
    /// How many items were said to be left in the queue, each time that was said.
    pub left: Vec<usize>,
    /// The queue was closed when the last thread of the host had ended. `None`: it had no consumer.
    pub closed: Option<bool>,
}

/// Only so that a deadline that is not kept is noticed: the machine may be busy.
const SLACK: Duration = Duration::from_secs(15);

pub fn play(schedule: &Schedule, world: &Arc<World>) -> Played {
    let mut host = match &world.clock {
        Some(clock) => Host::with_clock(clock.clock()),
        None => Host::new(),
    };
    add_all(&mut host, &schedule.services, world, "");
    host.stop_timeout(schedule.stop_timeout).drain(schedule.drain);
    schedule.start_timeout.map(|limit| host.start_timeout(limit).handle());
    left::forget();
    let producers = produce_outside(schedule.outside, world);
    let events = host.events();
    let listener = thread::spawn(move || events.iter().collect());
    let handle = host.handle();
    let (over, outside) = bounded::<()>(0);
    let outside = {
        let (fuse, world, handle) = (schedule.fuse, world.clone(), handle.clone());
        thread::spawn(move || from_outside(&outside, fuse, &world, &handle))
    };
    let (waited, end) = drive(host, schedule, world);
    nobody_stays_hung(&handle);
    everybody_is_healthy(&handle);
    drop(handle);
    drop(over);
    outside.join().expect("who looks from outside sees nothing wrong");
    world.drop_kept();
    // They end with the last of the host's threads: one that was dropped may have left some behind.
    let events: Vec<Event> = listener.join().expect("it only listens");
    let closed = world.has_consumer.load(Ordering::SeqCst).then(|| world.queue.is_closed());
    world.queue.close(); // one that had no consumer
    producers.into_iter().for_each(|producer| producer.join().expect("it only pushes"));
    let drained = world.queue.drain().into_iter().map(|job| job.item).collect();
    let left = left::said(&events);
    Played { events, waited, end, drained, left, closed }
}

/// So many threads, which are no service, push until the queue is closed.
fn produce_outside(threads: usize, world: &Arc<World>) -> Vec<JoinHandle<()>> {
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

/// When nobody is unresponsive any more, every service comes to show how it ended, even if the host is gone and nobody stops it again.
fn nobody_stays_hung(handle: &HostHandle) {
    let began = Instant::now();
    while let Some(row) = handle.services().into_iter().find(|row| row.state == ServiceState::Hung) {
        assert!(began.elapsed() < SLACK, "`{}` is hung for ever: {:?}", row.name, row.blocked_in);
        thread::yield_now();
    }
}

/// A service that has ended has no problem left, and its host is live and not ready.
fn everybody_is_healthy(handle: &HostHandle) {
    for row in handle.services() {
        assert_eq!(row.health, Health::Healthy, "`{}` is {}", row.name, row.state);
    }
    assert!(handle.is_live() && !handle.is_ready());
}

/// Looks at the services, lets time pass, and asks for the stop when the fuse has burnt down.
fn from_outside(over: &Receiver<()>, fuse: Duration, world: &World, handle: &HostHandle) {
    let mut names = None;
    let burnt = Instant::now() + fuse;
    let (mut requested, mut has_started) = (false, false);
    while over.recv_timeout(Duration::from_micros(500)) == Err(RecvTimeoutError::Timeout) {
        let seen: Vec<_> = handle.services().into_iter().map(|service| service.name).collect();
        let top: Vec<_> = seen.into_iter().filter(|name| !name.contains('/') && **name != *"late").collect();
        assert_eq!(*names.get_or_insert(top.clone()), top, "services come and go");
        world.touch_clock();
        let (was_started, is_ready) = (has_started, handle.is_ready());
        has_started = handle.has_started();
        assert!(has_started || !was_started && !is_ready, "a host that was ready has started, for good");
        assert!(!requested || !is_ready, "a host that was to stop is ready");
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
    // Only now may the unresponsive hear: whatever came back before has not waited for them.
    world.release();
    (waited, Some(host.stop(AMPLE)))
}

/// Starts the host, and does what comes before the stop. What `wait` says, where it is asked.
fn start(host: &mut Host, schedule: &Schedule, world: &Arc<World>) -> Option<StopReason> {
    // Where it fails, that and rolling back take the fuse and the stop's time at most.
    if in_time(schedule.stop_timeout, || host.start()).is_ok() {
        world.note_outside(Step::HostStarted);
    }
    if matches!(schedule.drive, Drive::StartWaitStop) {
        return Some(host.wait());
    }
    world.note_outside(Step::Requested); // by the stop
    match schedule.drive {
        Drive::AddAndStartAgain => {
            host.add("late", worker(|_| panic!("a service that was added late runs")));
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
    assert!(began.elapsed() < limit, "a deadline was not kept: {:?}", began.elapsed());
    result
}
