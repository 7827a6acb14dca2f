//! `request_stop_after`. One thread fires all timers in the order of their times. So if a later timer has fired, an
//! earlier one that has not fired never will.

use crate::support::{LIMIT, RACES, asleep_in, in_time, race};
use hosted::{StopSource, StopToken};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, TryRecvError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_millis(20);
const LATE: Duration = Duration::from_secs(3600);

/// Returns when every timer that is due within `SOON` from now has fired.
fn let_timers_fire() {
    let last = StopSource::new();
    last.request_stop_after(SOON + Duration::from_millis(1));
    assert!(last.token().wait_timeout(LIMIT));
}

/// Sets the timer of a source to `SOON`, calls `change`, and returns the result of the source after the timer would
/// have fired. If the timer was due before the change, because the machine was slow, it tries again.
fn changed_in_time<R>(change: impl Fn(StopSource) -> R) -> R {
    for _ in 0..1_000 {
        let (source, start) = (StopSource::new(), Instant::now());
        source.request_stop_after(SOON);
        let result = change(source);
        if start.elapsed() < SOON {
            let_timers_fire();
            return result;
        }
    }
    panic!("the machine was too slow in every attempt");
}

// 14
#[test]
fn a_timer_stops_its_source_once_and_not_before_its_time() {
    in_time(|| {
        let (source, start) = (StopSource::new(), Instant::now());
        let (sender, calls) = mpsc::channel();
        let guard = source.token().on_stop(move || sender.send((Instant::now(), thread::current().id())).unwrap());
        source.request_stop_after(SOON);
        assert!(source.token().wait_timeout(LIMIT));
        assert!(start.elapsed() >= SOON);
        assert!(source.stop_requested() && !source.request_stop(), "the request of the timer was the first");

        let (at, by) = calls.recv_timeout(LIMIT).unwrap();
        assert!(at >= start + SOON);
        assert_ne!(by, thread::current().id(), "the callback runs on a thread of the library");
        source.request_stop_after(Duration::ZERO);
        let_timers_fire();
        assert!(calls.recv().is_err(), "the callback runs once");
        drop(guard);
    });
}

#[test]
fn a_timer_wakes_waiters_and_reaches_linked_sources_and_their_callbacks() {
    in_time(|| {
        let source = StopSource::new();
        let linked = StopSource::linked([&source.token()]);
        let (sender, called) = mpsc::channel();
        let guard = linked.token().on_stop(move || sender.send(()).unwrap());
        let waits: [fn(StopToken) -> bool; 3] = [
            |token| token.wait_timeout(Duration::MAX),
            |token| token.sleep(Duration::MAX).is_err(),
            |token| token.done().recv().is_err(),
        ];
        let tokens = [source.token(), linked.token(), linked.token()];
        let sleepers: Vec<_> =
            waits.into_iter().zip(tokens).map(|(wait, token)| asleep_in(move || wait(token))).collect();
        source.request_stop_after(Duration::ZERO);
        assert!(sleepers.iter().all(|sleeper| sleeper.result()));
        assert_eq!(called.recv_timeout(LIMIT), Ok(()));
        drop(guard);
    });
}

// 14
#[test]
fn a_timer_fires_if_only_a_callback_holds_the_source() {
    in_time(|| {
        // A callback on its own token, and one on another's.
        let other = StopSource::new();
        for own in [true, false] {
            let source = StopSource::new();
            let watched = source.token();
            let on = if own { source.token() } else { other.token() };
            source.request_stop_after(SOON);
            let (sender, called) = mpsc::channel();
            let guard = on.on_stop(move || sender.send(source.stop_requested()).unwrap());
            assert!(watched.wait_timeout(LIMIT));
            assert_eq!(called.recv_timeout(if own { LIMIT } else { Duration::ZERO }).is_ok(), own);
            drop(guard);
        }
    });
}

// 14
#[test]
fn the_timer_of_a_dropped_source_never_fires_even_if_a_token_is_left() {
    in_time(|| {
        let (token, _guard, ran, linked) = changed_in_time(|source| {
            let (token, (sender, ran)) = (source.token(), mpsc::channel());
            let guard = token.on_stop(move || sender.send(()).unwrap());
            let linked = StopSource::linked([&token]);
            drop(source.clone());
            drop(source);
            (token, guard, ran, linked)
        });
        assert!(!token.stop_requested() && !linked.stop_requested());
        assert_eq!(ran.try_recv(), Err(TryRecvError::Empty));
    });
}

#[test]
fn a_timer_fires_as_long_as_one_clone_of_its_source_is_left() {
    let source = StopSource::new();
    source.clone().request_stop_after(SOON);
    let last = source.clone();
    drop(source);
    assert!(last.token().wait_timeout(LIMIT));
}

#[test]
fn a_second_call_replaces_the_timer_and_duration_max_removes_it() {
    let later = changed_in_time(|source| {
        source.request_stop_after(LATE);
        source
    });
    assert!(!later.stop_requested(), "the timer was moved to a later time");
    later.request_stop_after(SOON);
    assert!(later.token().wait_timeout(LIMIT), "the timer was moved to an earlier time");

    let taken_back = changed_in_time(|source| {
        source.clone().request_stop_after(Duration::MAX);
        source
    });
    assert!(!taken_back.stop_requested());
    taken_back.request_stop_after(Duration::ZERO);
    assert!(taken_back.token().wait_timeout(LIMIT), "a cancelled timer may be set again");
}

#[test]
fn a_timer_of_duration_max_never_fires_and_long_times_do_not_overflow() {
    let sources = [Duration::MAX, Duration::MAX / 2, Duration::from_secs(i64::MAX as u64 / 2)].map(|delay| {
        let source = StopSource::new();
        source.request_stop_after(delay);
        source
    });
    let_timers_fire();
    assert!(!sources.iter().any(StopSource::stop_requested));
}

// 14
#[test]
fn a_timer_has_no_effect_after_a_stop_request() {
    in_time(|| {
        let (source, guard, ran) = changed_in_time(|source| {
            let (sender, ran) = mpsc::channel();
            let guard = source.token().on_stop(move || sender.send(()).unwrap());
            source.request_stop();
            source.request_stop_after(Duration::ZERO);
            (source, guard, ran)
        });
        assert!(source.stop_requested());
        assert_eq!(ran.iter().count(), 1);
        drop(guard);
    });
}

#[test]
fn a_timer_and_a_stop_request_stop_a_source_once_in_10_000_races() {
    type Round = (StopSource, Mutex<mpsc::Receiver<()>>, hosted::StopCallback);
    let runs = Arc::new(AtomicUsize::new(0));
    let total = runs.clone();
    let fresh = move || -> Round {
        let (source, runs, (sender, ran)) = (StopSource::new(), runs.clone(), mpsc::channel());
        let guard = source.token().on_stop(move || {
            runs.fetch_add(1, Ordering::SeqCst);
            sender.send(()).unwrap();
        });
        (source, Mutex::new(ran), guard)
    };
    let set = |(source, ..): &Round| source.request_stop_after(Duration::ZERO);
    let stop = |(source, ..): &Round| _ = source.request_stop();
    let check = |(_, ran, _): &Round| ran.lock().unwrap().recv_timeout(LIMIT).unwrap();
    in_time(move || race(fresh, set, stop, check));
    let_timers_fire();
    assert_eq!(total.load(Ordering::SeqCst), RACES);
}

#[test]
fn a_timer_callback_that_blocks_delays_no_other_timer() {
    in_time(|| {
        let (open, opened) = mpsc::channel::<()>();
        let (started, blocked) = mpsc::channel();
        let blocking = StopSource::new();
        let guard = blocking.token().on_stop(move || {
            started.send(()).unwrap();
            _ = opened.recv_timeout(LIMIT);
        });
        blocking.request_stop_after(Duration::ZERO);
        blocked.recv_timeout(LIMIT).unwrap();
        let_timers_fire();
        open.send(()).unwrap();
        drop(guard);
    });
}

#[test]
fn each_of_many_timers_fires_once_and_not_before_its_time() {
    in_time(|| {
        let (sender, fired) = mpsc::channel();
        let timers: Vec<_> = (0..100_u64)
            .map(|number| {
                let (source, sender) = (StopSource::new(), sender.clone());
                let due = Instant::now() + Duration::from_millis(number * 37 % 100);
                let report = move || sender.send((number, Instant::now() >= due)).unwrap();
                let guard = source.token().on_stop(report);
                source.request_stop_after(due.saturating_duration_since(Instant::now()));
                (source, guard)
            })
            .collect();
        let mut seen: Vec<_> = timers.iter().map(|_| fired.recv_timeout(LIMIT).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..100).map(|number| (number, true)).collect::<Vec<_>>());
    });
}
