//! Guarantee 54: log lines name the services that the host waits for, at most ten of them.

use crate::support::LIMIT;
use crossbeam_channel::bounded;
use hosted::{EventKind, Host, task};
use std::thread;
use std::time::Duration;

/// Returns the progress line of a host with `number` services whose starts take long.
fn waited_for(number: usize) -> String {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    for number in 0..number {
        let held = held.clone();
        let stuck = task(move |_| {
            _ = held.recv();
            Ok(())
        });
        host.add(format!("stuck {number}"), stuck).after::<&str>([]);
    }
    let events = host.events();
    let starts = thread::spawn(move || host.start().is_ok());
    loop {
        let event = events.recv_timeout(LIMIT).unwrap();
        if let EventKind::StillStarting { waited, services } = event.kind {
            assert!(waited >= Duration::from_secs(1), "the first line came too early: {waited:?}");
            drop(release);
            assert!(starts.join().unwrap());
            return services;
        }
    }
}

// 54
#[test]
fn ten_services_that_the_host_waits_for_are_named() {
    let text = waited_for(10);
    assert_eq!(text.matches("`stuck ").count(), 10, "{text}");
    assert!(!text.contains(" more"), "{text}");
}

// 54
#[test]
fn ten_of_many_services_that_the_host_waits_for_are_named_and_the_rest_counted() {
    for (number, others) in [(11, " and 1 more"), (13, " and 3 more")] {
        let text = waited_for(number);
        assert_eq!(text.matches("`stuck ").count(), 10, "{text}");
        assert!(text.ends_with(others), "{text}");
    }
}

/// Returns when a host writes its first and its second progress line.
fn first_two_words() -> [Duration; 2] {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    let stuck = task(move |_| {
        _ = held.recv();
        Ok(())
    });
    host.add("stuck", stuck);
    let events = host.events();
    let starts = thread::spawn(move || host.start().is_ok());
    let word = || loop {
        if let EventKind::StillStarting { waited, .. } = events.recv_timeout(LIMIT).unwrap().kind {
            return waited;
        }
    };
    let words = [word(), word()];
    drop(release);
    assert!(starts.join().unwrap());
    words
}

// 54
#[test]
fn a_line_each_second_names_the_services_that_the_host_waits_for() {
    let second = Duration::from_secs(1);
    let in_time = |[one, two]: [Duration; 2]| {
        assert!(one >= second && two >= second * 2, "{one:?}, {two:?}");
        one < second * 2 && two < second * 3
    };
    // Try more than once: a busy machine may be late, but not each time.
    assert!((0..10).any(|_| in_time(first_two_words())));
}
