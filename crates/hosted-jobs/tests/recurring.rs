//! Recurring jobs.

mod support;

use hosted_jobs::{Declared, Enqueue, Handlers, JobContext, Misfire, Recurring, Unique};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::*;

on_both_stores!(
    a_due_time_makes_one_job_with_any_number_of_processes,
    a_due_time_while_nobody_was_there_is_made_up_for,
    misfire_skip_counts_and_misfire_all_runs_each,
    a_restart_fires_nothing_and_skips_nothing,
    a_changed_schedule_starts_from_now,
    an_older_program_does_not_undo_a_newer_ones_schedules,
    schedules_that_are_no_longer_declared_are_removed,
    a_clock_set_back_fires_nothing_twice,
    an_overlapping_due_time_is_counted_as_missed,
    a_paused_schedule_does_not_fire_and_resumes_from_now,
    invalid_schedules_are_refused,
    a_month_of_schedules_runs_in_order,
    the_hours_of_a_day_with_a_change_of_clocks_are_right,
);

/// A handler that records the due time, in seconds since the start, and how many were missed.
fn due_times(record: &Record, start: SystemTime) -> Handlers {
    let record = record.clone();
    Handlers::new().handle(move |job: Named, ctx: &JobContext| {
        let due = ctx.due_at().unwrap().duration_since(start).unwrap().as_secs();
        record.add(format!("{} {due} +{}", job.0, ctx.missed()));
        Ok(())
    })
}

fn every_minute() -> Recurring {
    Recurring::every("minute", Duration::from_secs(60), &named("m"))
}

// 43
fn a_due_time_makes_one_job_with_any_number_of_processes(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    let processes = [store.jobs.clone(), store.again(), store.again()];
    for jobs in &processes {
        assert_eq!(jobs.recurring([every_minute()]).unwrap(), Declared::Stored);
    }
    let handlers = due_times(&record, start);
    for _ in 0..5 {
        store.time.advance(Duration::from_secs(60));
        std::thread::scope(|scope| {
            for jobs in &processes {
                scope.spawn(|| jobs.drain(&handlers).unwrap());
            }
        });
    }
    let mut all = record.all();
    all.sort();
    assert_eq!(all, ["m 120 +0", "m 180 +0", "m 240 +0", "m 300 +0", "m 60 +0"]);
}

// 44, 50
fn a_due_time_while_nobody_was_there_is_made_up_for(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    store.jobs.recurring([every_minute()]).unwrap();
    store.time.advance(Duration::from_secs(60 * 10 + 30));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["m 600 +9"]);
    store.time.advance(Duration::from_secs(30));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all().last().unwrap(), "m 660 +0");
}

// 45
fn misfire_skip_counts_and_misfire_all_runs_each(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    let hourly = |name: &str, misfire| Recurring::every(name, HOUR, &named(name)).misfire(misfire);
    store.jobs.recurring([hourly("all", Misfire::All(2)), hourly("skip", Misfire::Skip)]).unwrap();
    store.time.advance(HOUR * 3 + Duration::from_secs(120));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["all 7200 +1", "all 10800 +0"]);
    store.time.advance(HOUR - Duration::from_secs(120));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all()[2..], ["all 14400 +0", "skip 14400 +3"]);
}

// 44
fn a_restart_fires_nothing_and_skips_nothing(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    for _ in 0..7 {
        // The program is deployed every day, and its weekly job still runs.
        let program = store.again();
        program.recurring([Recurring::every("weekly", HOUR * 24 * 7, &named("w"))]).unwrap();
        program.drain(&due_times(&record, start)).unwrap();
        assert!(record.all().is_empty());
        store.time.advance(HOUR * 24);
    }
    store.again().drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["w 604800 +0"]);
}

// 48
fn a_changed_schedule_starts_from_now(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    store.jobs.recurring([every_minute()]).unwrap();
    store.time.advance(HOUR);
    store.jobs.recurring([Recurring::every("minute", Duration::from_secs(90), &named("m"))]).unwrap();
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert!(record.all().is_empty(), "no burst of what the old schedule had missed");
    store.time.advance(Duration::from_secs(90));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["m 3690 +0"]);
}

// 49
fn an_older_program_does_not_undo_a_newer_ones_schedules(on: On) {
    let store = on.manual_with(|builder| builder.program("shop", 2));
    let names = || store.jobs.schedules().unwrap().into_iter().map(|row| row.name).collect::<Vec<_>>();
    store.jobs.recurring([Recurring::every("new", HOUR, &named("n"))]).unwrap();
    assert_eq!(names(), ["new"]);
    if on == On::Sqlite {
        let clock = store.time.clock();
        let old = hosted_jobs::Jobs::builder().clock(clock).program("shop", 1).open(store.path()).unwrap();
        let declared = old.recurring([Recurring::every("old", HOUR, &named("o"))]).unwrap();
        assert_eq!(declared, Declared::NewerRevision(2));
        assert_eq!(names(), ["new"]);
    }
}

// 48
fn schedules_that_are_no_longer_declared_are_removed(on: On) {
    let store = on.manual();
    let names = || store.jobs.schedules().unwrap().into_iter().map(|row| row.name).collect::<Vec<_>>();
    store.jobs.recurring([every_minute(), Recurring::every("b", HOUR, &named("b"))]).unwrap();
    assert_eq!(names(), ["b", "minute"]);
    store.jobs.recurring([every_minute()]).unwrap();
    assert_eq!(names(), ["minute"]);
    store.jobs.recurring([]).unwrap();
    assert!(names().is_empty());
}

// 47
fn a_clock_set_back_fires_nothing_twice(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    store.jobs.recurring([every_minute()]).unwrap();
    store.time.advance(Duration::from_secs(60));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    store.time.set_system_time(start);
    for _ in 0..2 {
        store.jobs.drain(&due_times(&record, start)).unwrap();
        store.time.advance(Duration::from_secs(60));
    }
    assert_eq!(record.all(), ["m 60 +0"]);
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["m 60 +0", "m 120 +0"]);
}

// 45
fn an_overlapping_due_time_is_counted_as_missed(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    let job = Enqueue::new(&named("m")).unique(Unique::until_finished("m"));
    store.jobs.recurring([Recurring::every("minute", Duration::from_secs(60), job)]).unwrap();
    store.time.advance(Duration::from_secs(60));
    // Nobody handles the kind, so the first job stays.
    let nothing = Handlers::new().handle(|_: Other, _: &JobContext| Ok(()));
    for _ in 0..3 {
        store.jobs.drain(&nothing).unwrap();
        store.time.advance(Duration::from_secs(60));
    }
    assert_eq!(store.jobs.schedules().unwrap()[0].missed, 2);
    let handlers = due_times(&record, start);
    store.jobs.drain(&handlers).unwrap(); // the fourth collides as well, and then the first one runs
    store.time.advance(Duration::from_secs(60));
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(record.all(), ["m 60 +0", "m 300 +3"]);
}

fn a_paused_schedule_does_not_fire_and_resumes_from_now(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let start = store.time.clock().system_time();
    store.jobs.recurring([every_minute()]).unwrap();
    assert!(store.jobs.pause_schedule("minute").unwrap());
    assert!(!store.jobs.pause_schedule("unknown").unwrap());
    store.time.advance(HOUR);
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert!(record.all().is_empty() && store.jobs.schedules().unwrap()[0].paused);
    assert!(store.jobs.resume_schedule("minute").unwrap());
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert!(record.all().is_empty());
    store.time.advance(Duration::from_secs(60));
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["m 3660 +0"]);
}

fn invalid_schedules_are_refused(on: On) {
    let store = on.manual();
    let error = Recurring::cron("a", "61 * * * *", &named("a")).unwrap_err().to_string();
    assert!(error.contains("`61 * * * *`"), "{error}");
    let cron = |expression: &str| Recurring::cron("a", expression, &named("a")).unwrap();
    let error = cron("0 3 * * *").zone("Mars/Olympus").unwrap_err().to_string();
    assert!(error.contains("unknown time zone"), "{error}");
    let error = store.jobs.recurring([cron("0 0 31 2 *")]).unwrap_err().to_string();
    assert_eq!(error, "schedule `a` is never due: `0 0 31 2 *`");
    let error = store.jobs.recurring([every_minute(), every_minute()]).unwrap_err().to_string();
    assert_eq!(error, "duplicate schedule name `minute`");
    let within = Enqueue::new(&named("a")).unique(Unique::within(1, HOUR));
    let error = store.jobs.recurring([Recurring::every("a", HOUR, within)]).unwrap_err().to_string();
    assert!(error.contains("cannot be `Unique::within`"), "{error}");
    assert!(store.jobs.schedules().unwrap().is_empty());
}

// 63, 64
fn a_month_of_schedules_runs_in_order(on: On) {
    let (store, record) =
        (on.manual_with(|builder| builder.synchronous(hosted_jobs::Synchronous::Normal)), Record::default());
    let start = store.time.clock().system_time();
    let daily = Recurring::cron("daily", "0 3 * * *", &named("d")).unwrap().zone("UTC").unwrap();
    store.jobs.recurring([daily, Recurring::every("hourly", HOUR, &named("h"))]).unwrap();
    let handlers = due_times(&record, start);
    for _ in 0..30 * 24 {
        store.time.advance(HOUR);
        store.jobs.drain(&handlers).unwrap();
    }
    let all = record.all();
    assert_eq!(all.iter().filter(|entry| entry.starts_with('h')).count(), 720);
    assert_eq!(all.iter().filter(|entry| entry.starts_with('d')).count(), 30);
    assert!(all.iter().all(|entry| entry.ends_with("+0")));
}

// 46
fn the_hours_of_a_day_with_a_change_of_clocks_are_right(on: On) {
    let store = on.manual_with(|builder| builder.synchronous(hosted_jobs::Synchronous::Normal));
    let record = Record::default();
    // 25 October 2026, midnight in Berlin: a day of 25 hours. 2:30 comes twice.
    let midnight = UNIX_EPOCH + Duration::from_secs(1_792_879_200);
    store.time.set_system_time(midnight);
    let cron =
        |name: &str, text: &str| Recurring::cron(name, text, &named(name)).unwrap().zone("Europe/Berlin").unwrap();
    store.jobs.recurring([cron("half past two", "30 2 * * *"), cron("hourly", "0 * * * *")]).unwrap();
    for _ in 0..25 * 4 {
        store.time.advance(HOUR / 4);
        store.jobs.drain(&due_times(&record, midnight)).unwrap();
    }
    assert_eq!(record.all().iter().filter(|entry| entry.starts_with("hourly")).count(), 25);
    let twice: Vec<_> = record.all().into_iter().filter(|entry| entry.starts_with("half")).collect();
    assert_eq!(twice, ["half past two 9000 +0"]);
}

// 45
#[test]
fn one_broken_schedule_touches_no_other() {
    let (store, record) = (On::Sqlite.manual(), Record::default());
    let start = store.time.clock().system_time();
    let good = |name: &str| Recurring::every(name, HOUR, &named(name));
    store.jobs.recurring([good("a"), good("b"), good("c")]).unwrap();
    let db = hosted_jobs::rusqlite::Connection::open(store.path()).unwrap();
    db.execute("UPDATE hosted_schedule SET spec = 'nonsense' WHERE name = 'b'", []).unwrap();
    store.time.advance(HOUR);
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all(), ["a 3600 +0", "c 3600 +0"]);
    let broken = &store.jobs.schedules().unwrap()[1];
    assert!(broken.error.as_deref().unwrap().contains("nonsense"));
    // Declaring it again repairs it.
    store.jobs.recurring([good("a"), good("b"), good("c")]).unwrap();
    store.time.advance(HOUR);
    store.jobs.drain(&due_times(&record, start)).unwrap();
    assert_eq!(record.all()[2..], ["a 7200 +0", "b 7200 +0", "c 7200 +0"]);
}

/// Zones with a change at two, at one, by half an hour, at midnight, and with none.
const ZONES: [&str; 5] = ["America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Santiago", "Asia/Amman"];

// 46
#[test]
fn a_daily_job_runs_once_a_day_for_two_years_in_every_zone() {
    let (store, record) = (On::Memory.manual(), Record::default());
    let start = UNIX_EPOCH + Duration::from_secs(1_767_225_600); // 2026-01-01
    store.time.set_system_time(start);
    let times = ["30 2 * * *", "0 0 * * *", "15 1 * * *"];
    let daily = |zone: &&str, time: &&str| {
        let name = format!("{zone} {time}");
        Recurring::cron(&name, time, &named(&name)).unwrap().zone(zone).unwrap()
    };
    let set: Vec<_> = ZONES.iter().flat_map(|zone| times.iter().map(move |time| daily(zone, time))).collect();
    store.jobs.recurring(set).unwrap();
    for _ in 0..730 * 2 {
        store.time.advance(HOUR * 12);
        store.jobs.drain(&due_times(&record, start)).unwrap();
    }
    let mut last = std::collections::BTreeMap::<String, (u64, u32)>::new();
    for entry in record.all() {
        let (rest, missed) = entry.rsplit_once(" +").unwrap();
        let (name, due) = rest.rsplit_once(' ').unwrap();
        let (due, (before, days)) = (due.parse::<u64>().unwrap(), last.get(name).copied().unwrap_or_default());
        assert!(due > before, "{name}: {due} after {before}");
        assert_eq!(missed, "0", "{name} at {due}");
        last.insert(name.to_owned(), (due, days + 1));
    }
    assert_eq!(last.len(), ZONES.len() * times.len());
    for (name, (_, days)) in last {
        assert!((729..=731).contains(&days), "{name} ran {days} times in 730 days");
    }
}

// 46
#[test]
fn a_job_of_every_minute_runs_every_minute_on_days_with_a_change_of_clocks() {
    // The zone, the midnight before the change in UTC, and the minutes of that local day.
    let days: [(&str, u64, u64); 8] = [
        ("America/New_York", 1_772_946_000, 1_380),    // 2026-03-08
        ("America/New_York", 1_793_505_600, 1_500),    // 2026-11-01
        ("Europe/London", 1_774_742_400, 1_380),       // 2026-03-29
        ("Europe/London", 1_792_882_800, 1_500),       // 2026-10-25
        ("Australia/Lord_Howe", 1_775_307_600, 1_470), // 2026-04-05
        ("Australia/Lord_Howe", 1_791_034_200, 1_410), // 2026-10-04
        ("America/Santiago", 1_775_271_600, 1_500),    // 2026-04-04
        ("America/Santiago", 1_788_667_200, 1_380),    // 2026-09-06
    ];
    for (zone, midnight, minutes) in days {
        let (store, record) = (On::Memory.manual(), Record::default());
        let start = UNIX_EPOCH + Duration::from_secs(midnight) - Duration::from_millis(1);
        store.time.set_system_time(start);
        let every_minute = Recurring::cron("minute", "* * * * *", &named("m")).unwrap().zone(zone).unwrap();
        store.jobs.recurring([every_minute.misfire(Misfire::All(60))]).unwrap();
        for _ in 0..minutes / 30 {
            store.time.advance(HOUR / 2);
            store.jobs.drain(&due_times(&record, start)).unwrap();
        }
        let all = record.all();
        assert_eq!(all.len() as u64, minutes, "{zone} from {midnight}");
        assert!(all.iter().all(|entry| entry.ends_with("+0")), "{zone}: a minute was missed");
    }
}
