//! Guarantee 49, on Linux: the report of a hung service has the least time that the call has lasted, and the processor
//! use.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::LIMIT;
use crossbeam_channel::{bounded, unbounded};
use hosted::{Context, EventKind, Host, Outcome, worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{hint, thread};

/// Returns the time that the call has lasted, from a text such as `… for at least 252 ms`.
fn at_least(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_once(" for at least ")?.1.split_once(' ')?;
    let number: f64 = number.parse().expect("a number");
    Some(Duration::from_secs_f64(if unit == "ms" { number / 1_000. } else { number }))
}

/// Observes the service until the text has a time. There is no event for it: two observations must be some time apart.
fn look_until_it_has_lasted(host: &Host) -> (String, Duration) {
    let began = Instant::now();
    loop {
        let text = host.handle().services()[0].blocked_now().unwrap_or_default();
        if let Some(time) = at_least(&text) {
            return (text, time);
        }
        assert!(began.elapsed() < LIMIT, "the text never has a time: {text:?}");
        thread::yield_now();
    }
}

/// Returns the report of a stop with a hung service.
fn hung(host: &mut Host) -> String {
    let error = host.stop(Duration::ZERO).unwrap_err();
    let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("not hung: {error}") };
    hung.to_string()
}

// 49
#[test]
fn the_age_of_a_call_is_shown_from_the_second_sample_and_never_too_high() {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    host.add("stuck", worker(move |_: &Context| Ok(_ = held.recv())));
    let began = Instant::now();
    host.start().unwrap();
    let (text, time) = look_until_it_has_lasted(&host);
    assert!(text.starts_with("futex (a lock, condvar or channel) for at least "), "{text}");
    assert!(time <= began.elapsed(), "it has not been in the call for {time:?}");
    let line = hung(&mut host);
    assert!(line.contains(", blocked in futex (a lock, condvar or channel) for at least "), "{line}");
    assert!((time..=began.elapsed()).contains(&at_least(&line).unwrap()), "{line}");
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn a_second_call_of_the_same_kind_has_a_new_age() {
    let ((wake, woken), (sender, receiver)) = (bounded(0), bounded(1));
    let run = move |_: &Context| {
        while woken.recv().is_ok() {
            sender.send(())?;
        }
        Ok(())
    };
    let mut host = Host::new();
    host.add("stuck", worker(run));
    host.start().unwrap();
    for _ in 0..2 {
        look_until_it_has_lasted(&host);
        let began = Instant::now();
        wake.send(()).unwrap();
        receiver.recv_timeout(LIMIT).unwrap();
        let (text, time) = look_until_it_has_lasted(&host);
        assert!(time <= began.elapsed(), "the new call has not lasted for {time:?}: {text}");
    }
    drop(wake);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn computing_after_a_sleep_has_a_new_age() {
    let ((wake, woken), over) = (bounded::<()>(0), Arc::new(AtomicBool::new(false)));
    let until = over.clone();
    let run = move |_: &Context| {
        _ = woken.recv();
        while !until.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
        Ok(())
    };
    let mut host = Host::new();
    host.add("stuck", worker(run));
    host.start().unwrap();
    look_until_it_has_lasted(&host);
    let began = Instant::now();
    drop(wake);
    let (mut text, mut time) = look_until_it_has_lasted(&host);
    while !text.starts_with("running") {
        (text, time) = look_until_it_has_lasted(&host); // the thread may not be awake yet
    }
    assert!(time <= began.elapsed(), "it has not been running for {time:?}: {text}");
    over.store(true, Ordering::Relaxed);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn a_service_that_computes_is_shown_with_its_processor_use() {
    let over = Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let run = move |_: &Context| {
        while !until.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
        Ok(())
    };
    let mut host = Host::new();
    host.add("stuck", worker(run));
    let began = Instant::now();
    host.start().unwrap();
    look_until_it_has_lasted(&host);
    let line = hung(&mut host);
    let (before, after) = line.split_once(", running, ").unwrap();
    let percent: u32 = after.split_once(" % CPU for at least ").unwrap().0.parse().unwrap();
    assert!(!before.contains("blocked"), "{line}");
    // The machine decides which share of a processor the thread gets.
    assert!((1..=100).contains(&percent), "{line}");
    assert!(at_least(&line).unwrap() <= began.elapsed(), "{line}");
    over.store(true, Ordering::Relaxed);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn the_second_progress_line_of_a_stop_shows_the_age_of_the_call() {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    host.add("stuck", worker(move |_: &Context| Ok(_ = held.recv())));
    host.start().unwrap();
    let ((sender, receiver), events) = (unbounded(), host.events());
    thread::spawn(move || sender.send(host.stop(LIMIT)));
    let line = || loop {
        if let EventKind::StillStopping { services, .. } = events.recv_timeout(LIMIT).unwrap().kind {
            return services;
        }
    };
    assert_eq!(line(), "`stuck` (`run`, blocked in futex (a lock, condvar or channel))");
    while !line().starts_with("`stuck` (`run`, blocked in futex (a lock, condvar or channel) for at least ") {}
    drop(release);
    receiver.recv_timeout(LIMIT).unwrap().unwrap();
}
