//! Guarantee 12 with a clock, and `ManualClock`: it stands still until the test advances it, and counts the threads
//! that sleep by it.

use crate::support::{LIMIT, SECOND, next};
use crossbeam_channel::{Receiver, unbounded};
use hosted::testing::ManualClock;
use hosted::{Clock, Context, Host, PushError, Queue, StopSource, Stopped, worker};
use std::thread::spawn;
use std::time::{Duration, Instant};

const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);

fn by(clock: Clock, stop: &StopSource) -> Context {
    Context::new("sleeper", stop.token()).with_clock(clock)
}

/// Sleeps on another thread. The thread returns how the sleep ended.
fn sleeper(time: &ManualClock, stop: &StopSource, how_long: Duration) -> Receiver<Result<(), Stopped>> {
    let (ctx, (sender, receiver)) = (by(time.clock(), stop), unbounded());
    spawn(move || sender.send(ctx.sleep(how_long)));
    receiver
}

/// Returns the number of sleepers that the `Debug` of the clock shows.
fn asleep(time: &ManualClock) -> usize {
    let text = format!("{time:?}");
    let digits = text.chars().filter(char::is_ascii_digit).collect::<String>();
    digits.parse().unwrap()
}

#[test]
fn time_stands_still_until_it_is_moved_and_every_clone_of_the_clock_sees_it() {
    let time = ManualClock::new();
    let (clock, clone) = (time.clock(), time.clock().clone());
    let began = clock.now();
    std::thread::yield_now();
    assert_eq!(clock.now(), began);
    time.advance(SECOND);
    assert_eq!((clock.now(), clone.now()), (began + SECOND, began + SECOND));
    assert!(Clock::system().now() >= began, "a manual clock begins at the present");
}

#[test]
fn an_advance_takes_the_sleepers_that_are_due_off_the_count_before_it_returns() {
    let time = ManualClock::new();
    let stop = StopSource::new();
    let ctx = by(time.clock(), &stop);
    let began = time.clock().now();
    let (woken, wakings) = unbounded();
    spawn(move || {
        while ctx.sleep(SECOND).is_ok() {
            woken.send(ctx.clock().now() - began).unwrap();
        }
    });
    for _ in 0..5_000 {
        time.wait_for_sleepers(1); // would return at once if the old sleep were still counted
        time.advance(SECOND);
    }
    time.wait_for_sleepers(1);
    stop.request_stop();
    let seen = std::iter::from_fn(|| wakings.recv_timeout(LIMIT).ok()).collect::<Vec<_>>();
    assert_eq!(seen, (1..=5_000).map(Duration::from_secs).collect::<Vec<_>>());
}

#[test]
fn the_count_is_right_the_moment_an_advance_returns() {
    for _ in 0..500 {
        let time = ManualClock::new();
        let stop = StopSource::new();
        let sleepers = [1, 1, 2].map(|seconds| sleeper(&time, &stop, SECOND * seconds));
        time.wait_for_sleepers(3);
        time.advance(SECOND);
        assert_eq!(asleep(&time), 1);
        time.advance(SECOND);
        assert_eq!(asleep(&time), 0);
        sleepers.iter().for_each(|sleeper| assert_eq!(next(sleeper), Ok(())));
    }
}

#[test]
fn waiting_for_sleepers_waits_until_that_many_sleep() {
    for _ in 0..200 {
        let time = ManualClock::new();
        let stop = StopSource::new();
        let sleepers: Vec<_> = (0..5).map(|_| sleeper(&time, &stop, SECOND)).collect();
        time.wait_for_sleepers(5);
        assert_eq!(asleep(&time), 5);
        time.advance(SECOND); // a sleeper that came later would now sleep forever
        sleepers.iter().for_each(|sleeper| assert_eq!(next(sleeper), Ok(())));
        time.wait_for_sleepers(0);
    }
}

#[test]
fn an_advance_wakes_exactly_those_that_are_due() {
    let time = ManualClock::new();
    let stop = StopSource::new();
    let (woken, wakings) = unbounded();
    let began = time.clock().now();
    for seconds in 1..=4 {
        let (ctx, woken) = (by(time.clock(), &stop), woken.clone());
        spawn(move || {
            let result = ctx.sleep_until(began + SECOND * seconds);
            woken.send((seconds, result, ctx.clock().now() - began)).unwrap();
        });
    }
    time.wait_for_sleepers(4);
    time.advance(SECOND - Duration::from_nanos(1));
    assert_eq!(asleep(&time), 4);
    time.advance(SECOND + Duration::from_nanos(1));
    let mut first = [next(&wakings), next(&wakings)];
    first.sort_by_key(|woken| woken.0);
    assert_eq!(first, [(1, Ok(()), SECOND * 2), (2, Ok(()), SECOND * 2)]);
    assert_eq!(asleep(&time), 2);
    stop.request_stop();
    for (seconds, result, _) in [next(&wakings), next(&wakings)] {
        assert!(seconds > 2 && result == Err(Stopped));
    }
}

// 12
#[test]
fn a_stop_ends_a_manual_sleep_and_takes_it_off_the_count() {
    let time = ManualClock::new();
    let (stop, other) = (StopSource::new(), StopSource::new());
    let (stopped, stays) = (sleeper(&time, &stop, SECOND), sleeper(&time, &other, SECOND));
    time.wait_for_sleepers(2);
    stop.request_stop();
    assert_eq!(next(&stopped), Err(Stopped));
    assert_eq!(asleep(&time), 1);
    time.advance(SECOND);
    assert_eq!(next(&stays), Ok(()));
}

// 12
#[test]
fn a_sleep_of_zero_or_until_the_past_returns_at_once_and_reports_a_stop() {
    let time = ManualClock::new();
    for clock in [Clock::system(), time.clock()] {
        let stop = StopSource::new();
        let ctx = by(clock, &stop);
        let past = ctx.clock().now();
        time.advance(SECOND);
        assert_eq!(ctx.sleep(Duration::ZERO), Ok(()));
        assert_eq!(ctx.sleep_until(past), Ok(()));
        assert_eq!(ctx.sleep_until(ctx.clock().now()), Ok(()));
        stop.request_stop();
        assert_eq!(ctx.sleep(Duration::ZERO), Err(Stopped));
        assert_eq!(ctx.sleep_until(past), Err(Stopped));
        assert_eq!(ctx.sleep(Duration::MAX), Err(Stopped));
    }
    assert_eq!(asleep(&time), 0);
}

// 12
#[test]
fn a_manual_sleep_of_duration_max_lasts_forever() {
    let time = ManualClock::new();
    let stop = StopSource::new();
    let forever = sleeper(&time, &stop, Duration::MAX);
    let long = sleeper(&time, &stop, YEAR * 250);
    time.wait_for_sleepers(2);
    time.advance(YEAR * 200);
    assert_eq!(asleep(&time), 2);
    time.advance(YEAR * 50);
    assert_eq!(next(&long), Ok(()));
    assert_eq!(asleep(&time), 1);
    stop.request_stop();
    assert_eq!(next(&forever), Err(Stopped));
    assert_eq!(asleep(&time), 0);
}

#[test]
fn services_sleep_by_the_clock_of_their_host() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let (woken, wakings) = unbounded();
    let began = time.clock().now();
    for name in ["a", "b"] {
        let woken = woken.clone();
        host.add(
            name,
            worker(move |ctx| {
                ctx.sleep(Duration::from_secs(86_400))?;
                Ok(woken.send(ctx.clock().now() - began)?)
            }),
        );
    }
    host.start().unwrap();
    time.wait_for_sleepers(2);
    time.advance(Duration::from_secs(86_400));
    host.wait();
    host.stop(LIMIT).unwrap();
    assert_eq!(wakings.try_iter().collect::<Vec<_>>(), [Duration::from_secs(86_400); 2]);
}

#[test]
fn tokens_queues_and_stop_deadlines_use_system_time_with_a_manual_clock() {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let (release, released) = unbounded::<()>();
    let (sender, receiver) = unbounded();
    host.add(
        "stuck",
        worker(move |ctx| {
            let queue = Queue::bounded(1);
            queue.push(())?;
            let full = queue.push_timeout((), Duration::from_millis(1));
            sender.send((ctx.stop_token().sleep(Duration::from_millis(1)), full))?;
            Ok(_ = released.recv())
        }),
    );
    host.start().unwrap();
    assert_eq!(next(&receiver), (Ok(()), Err(PushError::Full(()))));
    let limit = Duration::from_millis(100);
    let began = Instant::now();
    let error = host.stop(limit).unwrap_err();
    assert!(began.elapsed() >= limit);
    assert_eq!(error.failures()[0].service(), "stuck");
    drop(release);
    host.stop(LIMIT).unwrap();
    assert_eq!(asleep(&time), 0);
}
