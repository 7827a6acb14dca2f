//! The waits on a token: what ends them, what they return, and what they cost.

use crate::support::{LIMIT, Sleeper, alone, asleep_in, assert_at_rest, in_time, race, wait_for_task};
use crossbeam_channel::{TryRecvError, bounded, never, select, unbounded};
use hosted::{RecvError, StopSource, StopToken, Stopped};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Every way to wait for a stop. Each returns `true` if it reported the stop.
const WAITS: [fn(StopToken) -> bool; 12] = [
    |token| {
        token.wait();
        token.stop_requested()
    },
    |token| token.wait_timeout(Duration::from_secs(3600)),
    |token| token.wait_timeout(Duration::MAX),
    |token| token.sleep(Duration::from_secs(3600)) == Err(Stopped),
    |token| token.sleep(Duration::MAX) == Err(Stopped),
    |token| token.sleep_until(Instant::now() + Duration::from_secs(3600)) == Err(Stopped),
    |token| token.recv(&never::<u8>()) == Err(RecvError::Stopped),
    |token| {
        let (_sender, receiver) = bounded::<u8>(0);
        token.recv(&receiver) == Err(RecvError::Stopped)
    },
    |token| token.done().recv().is_err() && token.stop_requested(),
    |token| token.done().clone().recv().is_err() && token.stop_requested(),
    |token| token.done().recv_timeout(LIMIT).is_err() && token.stop_requested(),
    |token| {
        let orders = never::<u8>();
        select! { recv(orders) -> _ => false, recv(token.done()) -> _ => token.stop_requested() }
    },
];

/// Threads that are asleep in each of the waits.
fn asleep_in_all(token: &StopToken) -> Vec<Sleeper<bool>> {
    WAITS.iter().map(|wait| (wait, token.clone())).map(|(wait, token)| asleep_in(move || wait(token))).collect()
}

// 3, 12
#[test]
fn every_wait_wakes_at_the_stop() {
    let source = StopSource::new();
    let linked = StopSource::linked([&StopSource::new().token(), &source.token()]);
    let grandchild = StopSource::linked([&linked.token()]);
    let tokens = [source.token(), linked.token(), grandchild.token()];
    let sleepers: Vec<_> = tokens.iter().flat_map(asleep_in_all).collect();
    assert!(sleepers.iter().all(|sleeper| sleeper.result_so_far().is_none()), "no wait returns without a stop");

    assert!(source.request_stop());
    let said: Vec<_> = sleepers.iter().map(Sleeper::result).collect();
    assert_eq!(
        said,
        vec![true; sleepers.len()],
        "each wait, with the token of the source, of its child and of its grandchild"
    );
}

// 12
#[test]
fn every_wait_returns_at_once_after_the_stop() {
    let source = StopSource::new();
    let listened = source.token();
    let guard = listened.on_stop(|| ());
    let done = listened.done();
    source.request_stop();
    let never_listened = StopSource::new();
    never_listened.request_stop();
    let born_stopped = StopSource::linked([&source.token()]);
    for token in [listened.clone(), never_listened.token(), born_stopped.token()] {
        for (number, wait) in WAITS.iter().enumerate() {
            let token = token.clone();
            assert!(in_time(move || wait(token)), "wait {number}");
        }
        assert!(token.wait_timeout(Duration::ZERO), "a stop counts more than an expired timeout");
        assert_eq!(token.sleep_until(Instant::now()), Err(Stopped));
        assert_eq!(token.done().try_recv(), Err(TryRecvError::Disconnected));
    }
    assert_eq!(done.try_recv(), Err(TryRecvError::Disconnected));
    drop(guard);
}

#[test]
fn a_wait_that_times_out_lasts_its_time_and_reports_no_stop() {
    let time = Duration::from_millis(20);
    for token in [StopSource::new().token(), StopToken::never()] {
        let start = Instant::now();
        assert!(!token.wait_timeout(time));
        assert!(start.elapsed() >= time);

        let start = Instant::now();
        assert_eq!(token.sleep(time), Ok(()));
        assert!(start.elapsed() >= time);

        let until = Instant::now() + time;
        assert_eq!(token.sleep_until(until), Ok(()));
        assert!(Instant::now() >= until);

        assert_eq!(token.sleep_until(start), Ok(()), "a moment in the past");
        assert_eq!(token.sleep(Duration::ZERO), Ok(()));
        assert!(!token.wait_timeout(Duration::ZERO));
    }
}

// 12
#[test]
fn waits_of_duration_max_and_nearly_that_long_last_forever() {
    let source = StopSource::new();
    let last_instant = (0..63).rev().fold(Instant::now(), |far, bit| {
        far.checked_add(Duration::from_secs(1 << bit)).unwrap_or(far) // as far as an `Instant` can be
    });
    let far = last_instant.saturating_duration_since(Instant::now());
    let times = [Duration::MAX, Duration::MAX / 2, Duration::from_millis(u64::MAX), far, far - Duration::from_secs(1)];
    let sleepers: Vec<_> = times
        .into_iter()
        .flat_map(|time| {
            let (waits, sleeps, sleeps_until) = (source.token(), source.token(), source.token());
            [
                asleep_in(move || waits.wait_timeout(time)),
                asleep_in(move || sleeps.sleep(time) == Err(Stopped)),
                asleep_in(move || sleeps_until.sleep_until(last_instant) == Err(Stopped)),
            ]
        })
        .collect();
    let said_early: Vec<_> = sleepers.iter().filter_map(Sleeper::result_so_far).collect();
    assert_eq!(said_early, []);
    source.request_stop();
    assert!(sleepers.iter().all(Sleeper::result));

    // These threads sleep until the process exits.
    let unstoppable = times.map(|time| asleep_in(move || StopToken::never().wait_timeout(time)));
    assert!(unstoppable.iter().all(|sleeper| sleeper.result_so_far().is_none()));
}

// 15
#[test]
fn no_wait_on_never_ends_with_a_stop() {
    let token = StopToken::never();
    assert!(!token.stop_requested() && !token.clone().stop_requested());
    assert_eq!(token.check(), Ok(()));
    assert_eq!(token.done().try_recv(), Err(TryRecvError::Empty));
    let (sender, receiver) = unbounded();
    sender.send("tea").unwrap();
    assert_eq!(token.recv(&receiver), Ok("tea"));
    drop(sender);
    assert_eq!(token.recv(&receiver), Err(RecvError::Disconnected));

    // The callback is dropped without a run before the guard exists.
    let ran = Arc::new(());
    let guard = token.on_stop({
        let ran = ran.clone();
        move || drop(ran)
    });
    assert_eq!(Arc::strong_count(&ran), 1);
    drop(guard);

    for sleeper in asleep_in_all(&token) {
        for _ in 0..3 {
            sleeper.thread().unpark(); // as a permit that other code left behind
            sleeper.fall_asleep();
        }
        assert_eq!(sleeper.result_so_far(), None);
    }
}

#[test]
fn recv_returns_messages_and_an_error_if_the_last_sender_is_gone() {
    let token = StopSource::new().token();
    let (sender, receiver) = unbounded();
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert_eq!(token.recv(&receiver), Ok(1));
    let (waiting, from) = (token.clone(), receiver.clone());
    let sleeper = asleep_in(move || [waiting.recv(&from), waiting.recv(&from), waiting.recv(&from)]);
    sender.send(3).unwrap();
    drop(sender);
    assert_eq!(sleeper.result(), [Ok(2), Ok(3), Err(RecvError::Disconnected)]);
    assert_eq!(token.recv(&receiver), Err(RecvError::Disconnected));
}

#[test]
fn recv_prefers_stopped_and_leaves_messages_in_the_channel() {
    let (sender, receiver) = unbounded();
    let source = StopSource::new();
    source.request_stop();
    sender.send("tea").unwrap();
    for _ in 0..100 {
        assert_eq!(source.token().recv(&receiver), Err(RecvError::Stopped));
    }
    assert_eq!(receiver.try_recv(), Ok("tea"));
    drop(sender);
    assert_eq!(
        source.token().recv(&receiver),
        Err(RecvError::Stopped),
        "after the stop, a disconnected channel does not count"
    );
}

#[test]
#[cfg_attr(miri, ignore = "Miri has no /proc to show that a thread is asleep")]
fn a_recv_woken_by_a_stop_leaves_a_message_sent_after_the_stop() {
    for round in 0..100 {
        let (sender, receiver) = unbounded();
        let source = StopSource::new();
        let (token, from) = (source.token(), receiver.clone());
        let sleeper = asleep_in(move || {
            // crossbeam shuffles the arms of `select!` from the same seed in each thread. So advance the seed.
            let gone = bounded::<&str>(0).1;
            (0..round).for_each(|_| assert_eq!(token.recv(&gone), Err(RecvError::Disconnected)));
            token.recv(&from)
        });
        source.request_stop();
        sender.send("too late").unwrap();
        assert_eq!(sleeper.result(), Err(RecvError::Stopped), "round {round}");
        assert_eq!(receiver.try_recv(), Ok("too late"));
    }
}

// 12
#[test]
fn no_wake_up_is_lost_in_10_000_races_between_a_wait_and_the_stop() {
    let waits: [fn(&StopSource); 4] = [
        |source| source.token().wait(),
        |source| assert!(source.token().wait_timeout(Duration::MAX)),
        |source| assert!(source.token().done().recv().is_err()),
        |source| assert_eq!(source.token().recv(&never::<u8>()), Err(RecvError::Stopped)),
    ];
    for wait in waits {
        in_time(move || race(StopSource::new, |source| assert!(source.request_stop()), wait, |_| ()));
    }
}

// 13
#[test]
fn a_stop_request_under_a_mutex_that_the_woken_thread_needs_does_not_deadlock() {
    let source = StopSource::new();
    let mutex = Arc::new(Mutex::new(()));
    let sleepers = WAITS.map(|wait| {
        let (token, mutex) = (source.token(), mutex.clone());
        asleep_in(move || {
            let stopped = wait(token);
            drop(mutex.lock().unwrap());
            stopped
        })
    });
    in_time(move || {
        let held = mutex.lock().unwrap();
        assert!(source.request_stop());
        sleepers.iter().for_each(Sleeper::fall_asleep); // now on the mutex; a request that waited for them would hang
        assert!(sleepers.iter().all(|sleeper| sleeper.result_so_far().is_none()));
        drop(held);
        assert!(sleepers.iter().all(Sleeper::result));
    });
}

// 16
#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(miri, ignore = "Miri has no /proc to show the processor time of a thread")]
fn fifty_idle_waiters_use_no_cpu() {
    alone!();
    let (source, timer) = (StopSource::new(), StopSource::new());
    timer.request_stop_after(Duration::from_secs(3600));
    let linked = StopSource::linked([&source.token()]);
    let tokens = [source.token(), linked.token(), timer.token(), StopToken::never()];
    let sleepers: Vec<_> = tokens.iter().flat_map(asleep_in_all).chain(asleep_in_all(&tokens[0])).take(50).collect();
    assert_eq!(sleepers.len(), 50);
    let mut tasks: Vec<_> = sleepers.iter().map(|sleeper| sleeper.task().unwrap().to_owned()).collect();
    tasks.push(wait_for_task("hosted-timer"));
    assert_at_rest(&tasks);
}
