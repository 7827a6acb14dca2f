//! A separate crate implements a batching consumer, a periodic service, and a service with a time limit for each call. It uses
//! the public API of `hosted` alone.

#[path = "own_services/batches.rs"]
mod batches;
#[path = "own_services/limited.rs"]
mod limited;
#[path = "own_services/periodic.rs"]
mod periodic;

use batches::Batches;
use crossbeam_channel::{Receiver, bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Event, EventKind, Host, Outcome, PushError, Queue, Report, Result, Service, StopSource, worker};
use limited::Limited;
use periodic::Periodic;
use std::thread;
use std::time::Duration;

/// Turns a hang into a failure. No test expects anything to be faster.
const PATIENCE: Duration = Duration::from_secs(60);

const PERIOD: Duration = Duration::from_secs(3600);

/// Returns the next value of a channel. Fails if none comes.
fn next<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(PATIENCE).expect("a value must come")
}

/// Blocks until the service `name` emits an event that `select` selects. Returns what `select` returns.
fn next_event<R>(events: &Receiver<Event>, name: &str, select: impl Fn(EventKind) -> Option<R>) -> R {
    loop {
        let event = next(events);
        if event.service.as_deref() == Some(name) {
            if let Some(selected) = select(event.kind) {
                return selected;
            }
        }
    }
}

fn reported(kind: EventKind) -> Option<String> {
    if let EventKind::Reported { error } = kind { Some(error) } else { None }
}

fn assert_stopped(report: &Report, errors: u64) {
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!(report.services[0].errors, errors, "{report}");
}

fn queue_of<const N: usize>(items: [u32; N]) -> Queue<u32> {
    let queue = Queue::bounded(100);
    items.into_iter().for_each(|item| queue.push(item).unwrap());
    queue
}

/// A consumer of batches of so many items: each weighs 1.
fn uploader<F>(queue: &Queue<u32>, items: usize, delay: Duration, handle: F) -> Batches<u32, F>
where
    F: FnMut(&[u32], &Context) -> Result + Send + 'static,
{
    Batches::new(queue, items, delay, |_| 1, handle)
}

#[test]
fn a_full_batch_is_handled_without_a_delay() {
    let queue = queue_of([1, 2, 3, 4, 5, 6]);
    let (sender, batches) = unbounded();
    let mut host = Host::new();
    host.add("uploader", uploader(&queue, 3, Duration::MAX, move |batch, _| Ok(sender.send(batch.to_vec())?)));
    host.start().unwrap();
    assert_eq!((next(&batches), next(&batches)), (vec![1, 2, 3], vec![4, 5, 6]));
    assert_stopped(&host.stop(PATIENCE).unwrap(), 0);
    assert!(batches.is_empty());
}

#[test]
fn a_batch_that_does_not_reach_its_weight_is_handled_after_the_delay() {
    let (queue, time) = (queue_of([700, 700, 100]), ManualClock::new());
    let (sender, batches) = unbounded();
    let mut host = Host::with_clock(time.clock());
    let handle = move |batch: &[u32], _: &Context| Ok(sender.send(batch.to_vec())?);
    host.add("packets", Batches::new(&queue, 1_400, PERIOD, |item| *item as usize, handle));
    host.start().unwrap();
    assert_eq!(next(&batches), [700, 700]);
    for expected in [vec![100, 200], vec![300]] {
        time.wait_for_sleepers(1);
        expected.iter().skip(1).for_each(|item| queue.push(*item).unwrap());
        time.advance(PERIOD);
        assert_eq!(next(&batches), expected);
        queue.push(300).unwrap(); // the next batch has its own delay
    }
    assert_stopped(&host.stop(PATIENCE).unwrap(), 0);
}

#[test]
fn accepted_items_are_handled_at_the_stop_and_further_items_are_refused() {
    let queue = Queue::bounded(3);
    (1..=3).for_each(|item| queue.push(item).unwrap());
    let (sender, batches) = unbounded();
    let (release, released) = bounded(1);
    let handle = move |batch: &[u32], ctx: &Context| {
        sender.send(batch.to_vec())?;
        if batch.contains(&1) { Ok(ctx.recv(&released)?) } else { Err("no space".into()) }
    };
    let mut host = Host::new();
    let events = host.handle().events();
    host.add("uploader", uploader(&queue, 2, Duration::MAX, handle));
    host.start().unwrap();
    assert_eq!(next(&batches), [1, 2]);
    (4..=5).for_each(|item| queue.push(item).unwrap()); // now the queue is full
    let stopping = thread::spawn(move || host.stop(PATIENCE));
    // The stop request closes the queue while a batch is in progress.
    assert_eq!(queue.push_timeout(6, PATIENCE), Err(PushError::Closed(6)));
    release.send(()).unwrap();
    assert_stopped(&stopping.join().unwrap().unwrap(), 2);
    assert_eq!(batches.try_iter().collect::<Vec<_>>(), [vec![3, 4], vec![5]]);
    let errors = [(); 2].map(|()| next_event(&events, "uploader", reported));
    assert_eq!(errors, [2, 1].map(|items| format!("cannot handle a batch of {items} items: no space")));
    assert!(queue.drain().is_empty());
}

#[test]
fn items_that_are_left_at_the_stop_deadline_are_reported() {
    let queue = queue_of([1, 2, 3]);
    let (sender, batches) = unbounded();
    let handle = move |batch: &[u32], ctx: &Context| {
        sender.send(batch.to_vec())?;
        Ok(ctx.sleep(Duration::MAX)?)
    };
    let mut host = Host::new();
    let events = host.handle().events();
    host.add("uploader", uploader(&queue, 1, Duration::MAX, handle)).stop_timeout(Duration::from_millis(20));
    host.start().unwrap();
    assert_eq!(next(&batches), [1]);
    assert_stopped(&host.stop(PATIENCE).unwrap(), 1);
    let items = |kind| if let EventKind::QueueNotDrained { items } = kind { Some(items) } else { None };
    assert_eq!(next_event(&events, "uploader", items), 2);
    assert_eq!(queue.drain(), [2, 3]);
}

#[test]
fn a_batch_size_of_zero_is_refused_by_start_before_any_service_starts() {
    let (sender, started) = unbounded();
    let mut host = Host::new();
    let events = host.handle().events();
    host.add("first", worker(move |_| Ok(sender.send(())?)));
    host.add("uploader", uploader(&Queue::bounded(1), 0, Duration::MAX, |_, _| Ok(())));
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("invalid service `uploader`: weight of a batch must not be zero"), "{error}");
    assert!(!events.try_iter().any(|event| matches!(event.kind, EventKind::Starting)));
    assert!(started.is_empty());
}

/// Starts a host by a manual clock with one periodic service.
fn start_poller(tick: impl FnMut(&Context) -> Result + Send + 'static) -> (Host, ManualClock, Receiver<Event>) {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let events = host.handle().events();
    host.add("poller", Periodic { period: PERIOD, tick });
    host.start().unwrap();
    time.wait_for_sleepers(1);
    (host, time, events)
}

#[test]
fn a_tick_that_fails_or_panics_is_reported_and_the_next_tick_comes() {
    let (sender, ticks) = unbounded();
    let mut number = 0;
    let (mut host, time, events) = start_poller(move |_| {
        number += 1;
        sender.send(number)?;
        match number {
            1 => Err("no answer".into()),
            2 => panic!("bad answer"),
            _ => Ok(()),
        }
    });
    for number in 1..=3 {
        time.advance(PERIOD);
        assert_eq!(next(&ticks), number);
        time.wait_for_sleepers(1);
    }
    let errors = [(); 2].map(|()| next_event(&events, "poller", reported));
    assert_eq!(errors, ["no answer", "a tick panicked: bad answer"]);
    assert_stopped(&host.stop(PATIENCE).unwrap(), 2);
}

#[test]
fn missed_ticks_are_reported() {
    let (sender, ticks) = unbounded();
    let (mut host, time, events) = start_poller(move |_| Ok(sender.send(())?));
    time.advance(PERIOD * 4);
    let missed = |kind| if let EventKind::MissedTicks { missed } = kind { Some(missed) } else { None };
    assert_eq!(next_event(&events, "poller", missed), 3);
    assert_stopped(&host.stop(PATIENCE).unwrap(), 0);
    assert_eq!(ticks.len(), 1, "the missed ticks are skipped");
}

#[test]
fn a_stop_ends_the_wait_for_the_next_tick() {
    let (sender, ticks) = unbounded();
    let (mut host, _time, _events) = start_poller(move |_| Ok(sender.send(())?));
    assert_stopped(&host.stop(PATIENCE).unwrap(), 0); // the clock stands still, so the tick never comes
    assert!(ticks.is_empty());
}

#[test]
fn a_tick_in_progress_is_not_interrupted_by_a_stop_request() {
    let (time, stop) = (ManualClock::new(), StopSource::new());
    let ctx = Context::new("poller", stop.token()).with_clock(time.clock());
    let (sender, ticks) = unbounded();
    let (release, released) = bounded::<()>(1);
    let tick = move |ctx: &Context| {
        sender.send("begun")?;
        ctx.recv(&released)?;
        Ok(sender.send("finished")?)
    };
    let mut poller = Periodic { period: PERIOD, tick };
    let thread = thread::spawn(move || poller.run(&ctx));
    time.wait_for_sleepers(1);
    time.advance(PERIOD);
    assert_eq!(next(&ticks), "begun");
    stop.request_stop();
    release.send(()).unwrap();
    assert_eq!(next(&ticks), "finished");
    thread.join().unwrap().unwrap();
}

// 110, 111
#[test]
fn a_call_that_exceeds_its_time_limit_is_reported_and_a_stop_is_no_error() {
    let (sender, calls) = unbounded();
    let mut limits = [Duration::MAX, Duration::from_millis(1)].into_iter();
    let mut number = 0;
    let call = move |ctx: &Context| {
        number += 1;
        sender.send(number)?;
        match number {
            1 => Err("no answer".into()),
            _ => Ok(ctx.sleep(Duration::MAX)?),
        }
    };
    let mut host = Host::new();
    let events = host.handle().events();
    host.add("caller", Limited { limit: move || limits.next().unwrap_or(Duration::MAX), call });
    host.start().unwrap();
    assert_eq!([(); 3].map(|()| next(&calls)), [1, 2, 3]);
    let errors = [(); 2].map(|()| next_event(&events, "caller", reported));
    assert_eq!(errors, ["no answer", "time limit exceeded"]);
    assert_stopped(&host.stop(PATIENCE).unwrap(), 2);
}

// 111
#[test]
fn a_context_with_another_token_keeps_the_rest_of_the_service() {
    let (sender, seen) = unbounded();
    let run = move |ctx: &Context| -> Result {
        let other = StopSource::new();
        let job = ctx.with_token(other.token());
        job.wait_until_started()?;
        sender.send((job.name().to_owned(), job.host().services().len(), job.stop_deadline()))?;
        ctx.wait();
        job.check()?; // the host does not stop the token
        job.report_error("reported by the job");
        sender.send((String::new(), 0, job.stop_deadline()))?;
        other.request_stop();
        assert!(job.stop_requested() && job.sleep(Duration::MAX).is_err());
        Ok(())
    };
    let mut host = Host::new();
    host.add("parent", worker(run));
    host.start().unwrap();
    assert_eq!(next(&seen), ("parent".to_owned(), 1, None));
    assert_stopped(&host.stop(PATIENCE).unwrap(), 1);
    assert!(next(&seen).2.is_some(), "the deadline is that of the service");
}
