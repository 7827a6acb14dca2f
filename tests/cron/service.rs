//! Guarantees 106, 108 and 109: `cron` on a manual clock, with missed runs and clocks that are set.

use crate::calendar::utc;
use crate::support::LIMIT;
use hosted::testing::ManualClock;
use hosted::{Context, EventKind, Host, Service, StopSource, cron};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

// 106
#[test]
fn start_quotes_an_invalid_expression_an_unknown_zone_and_a_schedule_never_due() {
    let error = |service: hosted::Cron<fn(&Context) -> hosted::Result>| {
        let mut host = Host::new();
        host.add("nightly", service);
        host.start().unwrap_err().to_string()
    };
    let nothing: fn(&Context) -> hosted::Result = |_| Ok(());
    for (schedule, zone, quoted) in [
        ("61 * * * *", "UTC", "61 * * * *"),
        ("every night", "UTC", "every night"),
        ("", "UTC", "``"),
        ("@reboot", "UTC", "@reboot"),
        ("* * * * * * 2030", "UTC", "2030"),
        ("0 3 * * *", "Europe/Atlantis", "Europe/Atlantis"),
        ("0 0 31 2 *", "UTC", "never due"),
    ] {
        let text = error(cron(schedule, nothing).time_zone(zone));
        assert!(text.contains("nightly") && text.contains(quoted), "{schedule}: {text}");
    }
}

/// A `cron` service on a manual clock, and the times of its runs by that clock.
struct Nightly {
    time: ManualClock,
    stop: StopSource,
    runs: Receiver<SystemTime>,
    thread: JoinHandle<()>,
}

impl Nightly {
    fn new(expression: &str, from: &str) -> Self {
        let (time, stop) = (ManualClock::at(utc(from)), StopSource::new());
        let ctx = Context::new("nightly", stop.token()).with_clock(time.clock());
        let (ran, runs) = channel();
        let run = move |ctx: &Context| Ok(ran.send(ctx.clock().system_time())?);
        let mut service = cron(expression, run).time_zone("UTC");
        let thread =
            std::thread::spawn(move || service.run(&ctx).unwrap_err().downcast::<hosted::Stopped>().map(drop).unwrap());
        Nightly { time, stop, runs, thread }
    }

    /// Waits until the service sleeps, then advances the clock.
    fn pass(&self, time: Duration) {
        self.time.wait_for_sleepers(1);
        self.time.advance(time);
    }

    fn next_run(&self) -> SystemTime {
        self.runs.recv_timeout(LIMIT).expect("a run")
    }

    /// Stops the service. Returns the runs that `next_run` has not returned.
    fn stop(self) -> Vec<SystemTime> {
        self.time.wait_for_sleepers(1);
        self.stop.request_stop();
        self.thread.join().unwrap();
        self.runs.try_iter().collect()
    }
}

// 108
#[test]
fn a_year_on_a_manual_clock_has_365_runs() {
    let nightly = Nightly::new("0 3 * * *", "2026-01-01T00:00Z");
    nightly.pass(3 * HOUR);
    for day in 0..365 {
        assert_eq!(nightly.next_run(), utc("2026-01-01T03:00Z") + DAY * day);
        nightly.pass(DAY);
    }
    nightly.next_run();
    assert!(nightly.stop().is_empty());
}

// 108
#[test]
fn several_due_times_during_one_sleep_are_one_run() {
    let nightly = Nightly::new("0 3 * * *", "2026-01-01T00:00Z");
    nightly.pass(10 * DAY);
    assert_eq!(nightly.next_run(), utc("2026-01-11T00:00Z"));
    nightly.pass(3 * HOUR);
    assert_eq!(nightly.next_run(), utc("2026-01-11T03:00Z"));
    assert!(nightly.stop().is_empty());
}

// 109
#[test]
fn a_wall_clock_that_is_set_back_repeats_no_run() {
    let nightly = Nightly::new("0 3 * * *", "2026-01-01T00:00Z");
    nightly.pass(3 * HOUR);
    nightly.next_run();
    nightly.time.wait_for_sleepers(1);
    nightly.time.set_system_time(utc("2026-01-01T02:59Z"));
    for _ in 0..5 {
        nightly.pass(MINUTE);
    }
    assert!(nightly.stop().is_empty(), "the run of 03:00 is not repeated");
}

// 109
#[test]
fn a_wall_clock_that_is_set_forward_is_noticed_within_a_minute() {
    let nightly = Nightly::new("0 3 * * *", "2026-01-01T00:00Z");
    nightly.time.wait_for_sleepers(1);
    nightly.time.set_system_time(utc("2026-01-01T03:30Z"));
    nightly.pass(MINUTE);
    assert_eq!(nightly.next_run(), utc("2026-01-01T03:31Z"));
    assert!(nightly.stop().is_empty());
}

// 108
#[test]
fn missed_runs_are_counted_in_an_event() {
    let time = ManualClock::at(utc("2026-01-01T00:00Z"));
    let mut host = Host::with_clock(time.clock());
    host.add("nightly", cron("0 3 * * *", |_| Ok(())).time_zone("UTC"));
    let events = host.events();
    host.start().unwrap();
    time.wait_for_sleepers(1);
    time.advance(10 * DAY);
    let missed = events.iter().find_map(|event| match event.kind {
        EventKind::MissedTicks { missed } => Some(missed),
        _ => None,
    });
    assert_eq!(missed, Some(9));
    host.stop(LIMIT).unwrap();
}

// 108
#[test]
fn no_run_follows_a_run_that_is_in_progress_at_the_stop() {
    let time = Arc::new(ManualClock::at(utc("2026-01-01T00:00Z")));
    let stop = StopSource::new();
    let ctx = Context::new("nightly", stop.token()).with_clock(time.clock());
    let (ran, runs) = channel();
    let clock = time.clone();
    let mut service = cron("0 3 * * *", move |_| {
        clock.advance(10 * DAY); // the schedule is due again when this run returns
        stop.request_stop();
        Ok(ran.send(())?)
    })
    .time_zone("UTC");
    let thread = std::thread::spawn(move || service.run(&ctx).is_err_and(|error| error.is::<hosted::Stopped>()));
    time.wait_for_sleepers(1);
    time.advance(3 * HOUR);
    assert!(thread.join().unwrap());
    assert_eq!(runs.iter().count(), 1);
}

// 108
#[test]
fn a_clock_that_jumps_by_years_counts_at_most_10_000_missed_runs() {
    let time = ManualClock::at(SystemTime::UNIX_EPOCH);
    let mut host = Host::with_clock(time.clock());
    host.add("minutely", cron("* * * * *", |_| Ok(())).time_zone("UTC"));
    let events = host.events();
    host.start().unwrap();
    time.wait_for_sleepers(1);
    time.advance(50 * 365 * DAY);
    let missed = events.iter().find_map(|event| match event.kind {
        EventKind::MissedTicks { missed } => Some(missed),
        _ => None,
    });
    assert_eq!(missed, Some(10_000));
    time.wait_for_sleepers(1); // the service has caught up, and waits for the next minute
    host.stop(LIMIT).unwrap();
}
