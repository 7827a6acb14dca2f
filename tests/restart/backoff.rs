//! Guarantee 43: the length of the backoff, with a manual clock.

use crate::support::{LIMIT, MS, SECOND};
use crossbeam_channel::Receiver;
use hosted::testing::ManualClock;
use hosted::{Context, Event, EventKind, Host, Restart, Result, Service, worker};
use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

/// Longer than any backoff here.
const LONG: Duration = Duration::from_secs(3600);

/// A host on a manual clock with these services, each of which has failed once.
fn failed_once(services: Vec<Box<dyn Service>>, restart: &Restart) -> (ManualClock, Host, Receiver<Event>) {
    let time = ManualClock::new();
    let mut host = Host::with_clock(time.clock());
    let events = host.events();
    let count = services.len();
    for (n, service) in services.into_iter().enumerate() {
        host.add(format!("s{n}"), service).restart(restart.clone()).after::<&str>([]);
    }
    host.start().unwrap();
    time.wait_for_sleepers(count);
    (time, host, events)
}

fn failing() -> Box<dyn Service> {
    Box::new(worker(|_| Err("no network".into())))
}

/// The announced waits since the last call, by service.
fn waits(events: &Receiver<Event>) -> BTreeMap<String, Duration> {
    let wait = |event: Event| match event.kind {
        EventKind::Restarting { after, .. } => Some((event.service.unwrap().to_string(), after)),
        EventKind::Lagged { .. } => panic!("the test has missed events"),
        _ => None,
    };
    events.try_iter().filter_map(wait).collect()
}

/// The waits before each of the first `rounds` restarts of `services` services that always fail.
fn rounds(services: usize, rounds: usize, restart: Restart) -> Vec<Vec<Duration>> {
    let restart = restart.give_up_after(u32::MAX);
    let (time, mut host, events) = failed_once((0..services).map(|_| failing()).collect(), &restart);
    let mut seen = vec![waits(&events).into_values().collect()];
    for _ in 1..rounds {
        time.advance(LONG);
        time.wait_for_sleepers(services);
        seen.push(waits(&events).into_values().collect());
    }
    host.stop(LIMIT).unwrap();
    seen
}

/// Asserts that each wait is between three quarters and all of the doubled backoff, and within the range.
fn assert_doubling(seen: &[Vec<Duration>], min: Duration, max: Duration) {
    let mut doubled = min;
    for (n, waits) in seen.iter().enumerate() {
        let longest = doubled.min(max);
        let shortest = (longest * 3 / 4).max(min);
        for &wait in waits {
            assert!((shortest..=longest).contains(&wait), "{wait:?} at restart {}: {shortest:?} to {longest:?}", n + 1);
        }
        doubled = longest * 2;
    }
}

// 43
#[test]
fn the_backoff_doubles_from_the_minimum_to_the_maximum_and_stays_in_its_range() {
    let (min, max) = (MS * 100, MS * 1600);
    let seen = rounds(20, 12, Restart::on_failure().backoff(min..=max));
    assert!(seen.iter().all(|waits| waits.len() == 20));
    assert_doubling(&seen, min, max);
}

// 43
#[test]
fn by_default_the_backoff_is_between_100_ms_and_30_s() {
    let seen = rounds(5, 14, Restart::on_failure());
    assert_doubling(&seen, MS * 100, SECOND * 30);
    assert!(seen[13].iter().all(|&wait| wait >= MS * 22_500));
}

// 43
#[test]
fn the_backoff_has_jitter_so_that_services_do_not_restart_together() {
    let seen = rounds(20, 8, Restart::on_failure().backoff(MS * 100..=SECOND * 1000));
    for (n, waits) in seen.into_iter().enumerate().skip(1) {
        let different = waits.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(different > 15, "at restart {} only {different} of 20 waits differ", n + 1);
    }
}

// 43
#[test]
fn a_range_of_one_value_is_an_exact_backoff() {
    let seen = rounds(2, 5, Restart::always().backoff(SECOND..=SECOND));
    assert_eq!(seen, vec![vec![SECOND; 2]; 5]);
}

// 43
#[test]
fn a_very_short_backoff_reaches_the_maximum_too() {
    let (min, max) = (Duration::from_nanos(1), SECOND * 30);
    let seen = rounds(2, 50, Restart::on_failure().backoff(min..=max));
    assert_doubling(&seen, min, max);
}

// 43
#[test]
fn a_backoff_too_long_for_an_instant_lasts_until_the_stop() {
    let restart = Restart::on_failure().backoff(Duration::MAX..=Duration::MAX);
    let (time, mut host, events) = failed_once(vec![failing()], &restart);
    time.advance(LONG);
    time.wait_for_sleepers(1);
    assert_eq!(waits(&events)["s0"], Duration::MAX);
    assert_eq!(host.stop(LIMIT).unwrap().services[0].restarts, 0);
}

// 43
#[test]
fn on_a_manual_clock_a_restart_comes_exactly_at_the_announced_moment() {
    let (runs, ran) = crossbeam_channel::unbounded();
    let sender = runs.clone();
    let service = worker(move |_| {
        sender.send(())?;
        Err("no network".into())
    });
    let (time, mut host, events) = failed_once(vec![Box::new(service)], &Restart::on_failure());
    for n in 1..8 {
        assert_eq!(ran.len(), n);
        let after = waits(&events)["s0"];
        time.advance(after - Duration::from_nanos(1));
        time.wait_for_sleepers(1);
        assert_eq!(ran.len(), n, "a nanosecond too early");
        time.advance(Duration::from_nanos(1));
        time.wait_for_sleepers(1);
    }
    assert_eq!(host.stop(LIMIT).unwrap().services[0].restarts, 7);
}

// 43
#[test]
fn a_start_that_fails_in_a_restart_lengthens_the_backoff_like_a_run_that_fails() {
    struct Flaky(u32);
    impl Service for Flaky {
        fn start(&mut self, _: &hosted::Context) -> Result {
            self.0 += 1;
            if self.0 == 1 { Ok(()) } else { Err("no network".into()) }
        }
        fn run(&mut self, _: &hosted::Context) -> Result {
            Err("no network".into())
        }
    }
    let (min, max) = (SECOND, SECOND * 16);
    let restart = Restart::on_failure().backoff(min..=max);
    let (time, mut host, events) = failed_once(vec![Box::new(Flaky(0))], &restart);
    let mut seen = vec![vec![waits(&events)["s0"]]];
    for _ in 0..7 {
        time.advance(LONG);
        time.wait_for_sleepers(1);
        seen.push(vec![waits(&events)["s0"]]);
    }
    assert_doubling(&seen, min, max);
    host.stop(LIMIT).unwrap();
}

// 42, 43
#[test]
fn after_a_stable_run_the_backoff_starts_at_its_minimum() {
    let mut runs = 0;
    let service = worker(move |ctx| {
        runs += 1;
        ctx.sleep(if runs == 5 { SECOND * 60 } else { Duration::ZERO })?;
        Err("no network".into())
    });
    let (time, mut host, events) = failed_once(vec![Box::new(service)], &Restart::on_failure());
    for _ in 1..5 {
        assert!(waits(&events)["s0"] <= MS * 800);
        time.advance(LONG);
        time.wait_for_sleepers(1);
    } // the fifth run lasts 60 s
    time.advance(SECOND * 60);
    time.wait_for_sleepers(1);
    assert_eq!(waits(&events)["s0"], MS * 100);
    host.stop(LIMIT).unwrap();
}

// 43
#[test]
fn a_backoff_whose_minimum_exceeds_its_maximum_is_an_error_of_start() {
    let mut host = Host::new();
    #[allow(clippy::reversed_empty_ranges)] // the test needs a reversed range
    host.add("feed", failing()).restart(Restart::on_failure().backoff(SECOND * 2..=SECOND));
    let error = host.start().unwrap_err();
    assert!(error.failures().is_empty());
    assert!(error.to_string().contains("`feed`"), "{error}");
}

// 44
#[test]
fn a_stop_request_at_the_end_of_a_backoff_is_not_followed_by_a_restart() {
    let mut judged = 0;
    for round in 0..1_000 {
        let mut host = Host::new();
        let events = host.events();
        let restless = Restart::always().backoff(Duration::ZERO..=Duration::ZERO).give_up_after(u32::MAX);
        // Each run lasts long enough for the events of a start and a stop to fit where they are kept.
        let run = |_: &Context| {
            thread::sleep(Duration::from_micros(50));
            Ok(())
        };
        host.add("restless", worker(run)).restart(restless);
        host.start().unwrap();
        host.stop(LIMIT).unwrap();
        let events: Vec<_> = events.try_iter().map(|event| event.kind).collect();
        let stop_request = events.iter().position(|kind| matches!(kind, EventKind::HostStopping { .. }));
        let Some(stop_request) = stop_request else { continue }; // the events were dropped because the machine was busy
        let stopping = events[stop_request..].iter().position(|kind| matches!(kind, EventKind::Stopping)).unwrap();
        let started = events[stop_request + stopping..].iter().any(|kind| matches!(kind, EventKind::Starting));
        assert!(!started, "round {round}: {:?}", &events[stop_request..]);
        judged += 1;
    }
    assert!(judged > 100, "{judged} rounds fitted");
}
