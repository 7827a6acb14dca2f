//! A crash at every change of the files, and a failure of every change.
//!
//! What a dead process leaves behind is what it has written. So a crash before each write, each truncation and each
//! synchronisation, and in the middle of each write, covers a crash at every statement. A library that is loaded before the C
//! library counts these calls: see `faults.c`.

use crate::children::{Process, command};
use crate::programs::{Effect, Task, db_path, handlers};
use crate::support::{PATIENCE, wait_until};
use crate::witness::Witness;
use hosted::testing::ManualClock;
use hosted_jobs::{Enqueue, Handlers, Job, JobContext, JobState, Jobs, Outcome, Recurring, Unique, rusqlite};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Compiles the library that injects faults.
fn faults() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}.so", std::process::id()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/faults.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success());
        library
    })
}

/// A job that fails once.
#[derive(Serialize, Deserialize)]
struct Flaky {
    n: i64,
}

impl Job for Flaky {
    const KIND: &'static str = "flaky";
}

/// The recurring job.
#[derive(Serialize, Deserialize)]
struct Hourly {}

impl Job for Hourly {
    const KIND: &'static str = "hourly";
}

fn all_handlers(folder: &Path) -> Handlers {
    handlers(folder)
        .handle(|_: Flaky, ctx: &JobContext| {
            ctx.checkpoint(&ctx.failed())?;
            if ctx.failed() == 0 { Err("the first run fails".into()) } else { Ok(()) }
        })
        .handle(|_: Hourly, _: &JobContext| Ok(()))
}

/// A bit of everything that a program does, in an order that is always the same.
pub(crate) fn scenario(folder: &Path) {
    let time = ManualClock::at(SystemTime::UNIX_EPOCH + DAY * 20_000);
    if let Err(error) = try_scenario(folder, &time) {
        // Only where calls fail: the work is finished once they succeed again.
        Witness::new(folder).log("failed", 0, 0);
        println!("{error}");
        finish(folder, &time);
    }
}

fn try_scenario(folder: &Path, time: &ManualClock) -> Result<(), Box<dyn std::error::Error>> {
    let witness = Witness::new(folder);
    let jobs = Jobs::builder().clock(time.clock()).keep_succeeded(Duration::from_secs(60)).open(db_path(folder))?;
    let mut db = rusqlite::Connection::open(db_path(folder))?;
    db.execute_batch("CREATE TABLE IF NOT EXISTS effect(n INTEGER NOT NULL)")?;
    let stored = |n: i64, id: i64| witness.log("stored", n, id);
    jobs.recurring([Recurring::every("hourly", Duration::from_secs(3600), &Hourly {})])?;
    stored(0, jobs.enqueue(&Effect { n: 0 })?.id());
    let unique = || Enqueue::new(&Effect { n: 1 }).unique(Unique::until_finished("one"));
    stored(1, jobs.enqueue(unique())?.id());
    stored(1, jobs.enqueue(unique())?.id());
    stored(2, jobs.enqueue(Enqueue::new(&Effect { n: 2 }).unique(Unique::within("two", DAY)))?.id());
    let limited = |n| Enqueue::new(&Task { n, micros: 0, limited: false }).limit("key", 1);
    for (n, job) in jobs.enqueue_all((20..23).map(limited))?.iter().enumerate() {
        stored(20 + n as i64, job.id());
    }
    stored(30, jobs.enqueue(&Flaky { n: 30 })?.id());
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute("INSERT INTO effect(n) VALUES (-5)", [])?;
    let inside = jobs.enqueue_on(&tx, &Effect { n: 5 })?.id();
    tx.commit()?;
    stored(5, inside);
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    jobs.enqueue_on(&tx, &Effect { n: -1 })?;
    drop(tx);
    stored(6, jobs.enqueue_in(DAY, &Effect { n: 6 })?.id());
    let cancelled = jobs.enqueue_in(DAY, &Effect { n: 7 })?.id();
    jobs.drain(&all_handlers(folder))?;
    jobs.cancel(cancelled)?;
    time.advance(Duration::from_secs(3601));
    jobs.drain(&all_handlers(folder))?;
    jobs.retry(cancelled)?;
    jobs.pause("default")?;
    jobs.resume("default")?;
    jobs.prune()?;
    jobs.drain(&all_handlers(folder))?;
    Ok(())
}

/// The next start of the program: everything that is left runs.
fn finish(folder: &Path, time: &ManualClock) {
    let jobs = Jobs::builder().clock(time.clock()).open(db_path(folder)).unwrap();
    let db = rusqlite::Connection::open(db_path(folder)).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    db.execute_batch("CREATE TABLE IF NOT EXISTS effect(n INTEGER NOT NULL)").unwrap();
    jobs.resume("default").unwrap(); // the process may have died between `pause` and `resume`
    for _ in 0..3 {
        time.advance(DAY);
        jobs.drain(&all_handlers(folder)).unwrap();
    }
}

fn numbers(db: &rusqlite::Connection, sql: &str) -> Vec<i64> {
    let mut rows = db.prepare(sql).unwrap();
    let found = rows.query_map([], |row| row.get(0)).unwrap();
    found.collect::<Result<_, _>>().unwrap()
}

/// What must be true after the next start, wherever the process died.
fn check(folder: &Path, at: &str) {
    let witness = Witness::new(folder);
    let jobs = Jobs::open(db_path(folder)).unwrap();
    let db = rusqlite::Connection::open(db_path(folder)).unwrap();
    let check: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "{at}");
    assert!(numbers(&db, "SELECT id FROM hosted_job").is_empty(), "{at}: something never ends");
    assert!(numbers(&db, "SELECT id FROM hosted_worker").is_empty(), "{at}: a dead worker stays");
    let effects = numbers(&db, "SELECT n FROM effect ORDER BY n");
    let distinct: BTreeSet<i64> = effects.iter().copied().collect();
    assert_eq!(effects.len(), distinct.len(), "{at}: an effect happened twice: {effects:?}");
    assert!(!distinct.contains(&-1), "{at}: a job of a transaction that was rolled back ran");
    assert_eq!(distinct.contains(&-5), distinct.contains(&5), "{at}: the rows of a transaction came apart");
    for line in witness.lines().iter().filter(|line| line.what == "stored") {
        // Jobs that succeeded may have been deleted after their time.
        let state = jobs.get(line.more).unwrap().map(|job| job.state);
        let fine = matches!(state, None | Some(JobState::Finished(Outcome::Succeeded)));
        assert!(fine, "{at}: job {} is {state:?}", line.n);
        assert!(
            line.n >= 20 || distinct.contains(&line.n),
            "{at}: `enqueue` of {} returned `Ok`, and it never ran",
            line.n
        );
    }
    let ends: Vec<i64> =
        witness.lines().iter().filter(|line| line.what == "end" && line.n >= 20).map(|line| line.n).collect();
    let all: BTreeSet<i64> = ends.iter().copied().collect();
    assert!(all.is_empty() || all.len() == 3, "{at}: a part of an `enqueue_all` is there: {all:?}");
    witness.assert_no_violation();
}

fn start(folder: &Path, fault: &str, at: u64) -> std::process::ExitStatus {
    let mut child = command(folder, "scenario");
    child.env("LD_PRELOAD", faults()).env("FAULT", fault).env("FAULT_AT", at.to_string());
    child.env("FAULT_COUNT", folder.join("changes"));
    Process::spawn(&mut child).wait()
}

/// The number of changes of the files in the whole scenario.
fn changes() -> u64 {
    let folder = tempfile::tempdir().unwrap();
    assert!(start(folder.path(), "none", 0).success());
    finish(folder.path(), &ManualClock::at(SystemTime::UNIX_EPOCH + DAY * 20_001));
    check(folder.path(), "without a fault");
    std::fs::read_to_string(folder.path().join("changes")).unwrap().parse().unwrap()
}

/// Runs the scenario once for each change, on as many threads as there are processors.
fn at_every_change(fault: &str, dies: bool) {
    let (changes, next) = (changes(), AtomicU64::new(1));
    assert!(changes > 100, "the library does not see the changes: {changes}");
    // By default every seventh change, so that the test takes seconds. All of them: CHAOS_EVERY=1.
    let every: u64 = std::env::var("CHAOS_EVERY").map_or(7, |text| text.parse().unwrap());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(every, Ordering::Relaxed);
                    if at > changes {
                        return;
                    }
                    let folder = tempfile::tempdir().unwrap();
                    let status = start(folder.path(), fault, at);
                    assert_eq!(status.success(), !dies, "{fault} at change {at} of {changes}: {status}");
                    finish(folder.path(), &ManualClock::at(SystemTime::UNIX_EPOCH + DAY * 20_001));
                    check(folder.path(), &format!("{fault} at change {at} of {changes}"));
                }
            });
        }
    });
    println!("{fault}: {changes} changes, every {every}");
}

// 1, 2, 4, 25, 28, 40, 43, 51
#[test]
fn a_crash_at_any_change_of_the_files_loses_nothing_and_repeats_no_effect() {
    at_every_change("die", true);
}

// 1, 2, 4, 25, 40
#[test]
fn a_crash_in_the_middle_of_any_write_loses_nothing_and_repeats_no_effect() {
    at_every_change("tear", true);
}

// 25, 26
#[test]
fn a_failure_of_any_change_of_the_files_loses_nothing_and_repeats_no_effect() {
    at_every_change("fail", false);
}

/// Runs workers while the `at`-th change of the files fails, until all jobs have ended.
pub(crate) fn work_through_failures(folder: &Path) {
    let jobs = loop {
        if let Ok(jobs) = Jobs::open(db_path(folder)) {
            break jobs;
        }
    };
    let start_host = || loop {
        let mut host = hosted::Host::new();
        host.add("jobs", jobs.workers(2, all_handlers(folder)));
        if host.start().is_ok() {
            break host;
        }
    };
    let mut host = start_host();
    let is_done = || jobs.stats().is_ok_and(|stats| stats.queues.is_empty());
    wait_until("all have ended", is_done);
    let _ = host.stop(PATIENCE);
    // A host whose last write failed has left its worker to the next one.
    let _ = start_host().stop(PATIENCE);
}

// 25, 26
#[test]
fn workers_repeat_no_effect_when_the_answer_to_a_commit_is_lost() {
    let every: usize = std::env::var("CHAOS_EVERY").map_or(11, |text| text.parse().unwrap());
    for at in (1..200).step_by(every) {
        let folder = tempfile::tempdir().unwrap();
        let jobs = crate::programs::open(folder.path());
        let ids = jobs.enqueue_all((0..10).map(|n| Enqueue::new(&Effect { n }))).unwrap();
        drop(jobs);
        let mut child = command(folder.path(), "work through failures");
        child.env("LD_PRELOAD", faults()).env("FAULT", "fail").env("FAULT_AT", at.to_string());
        assert!(Process::spawn(&mut child).wait().success(), "failure of change {at}");
        let db = rusqlite::Connection::open(db_path(folder.path())).unwrap();
        let effects = numbers(&db, "SELECT n FROM effect ORDER BY n");
        assert_eq!(effects, (0..10).collect::<Vec<i64>>(), "failure of change {at}");
        let jobs = Jobs::open(db_path(folder.path())).unwrap();
        for id in &ids {
            let job = jobs.get(id.id()).unwrap().unwrap();
            assert_eq!((job.state, job.lost), (JobState::Finished(Outcome::Succeeded), 0), "failure of change {at}");
        }
        Witness::new(folder.path()).assert_no_violation();
    }
}
