//! What the children do.

use crate::witness::Witness;
use hosted::testing::ManualClock;
use hosted::{Clock, Host};
use hosted_jobs::{
    Backoff, Enqueue, Handlers, Job, JobContext, JobError, JobEventKind, Jobs, Options, Recurring, rusqlite,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// The variables that tell a child what it is.
pub(crate) const PROGRAM: &str = "CHAOS_PROGRAM";
pub(crate) const FOLDER: &str = "CHAOS_FOLDER";

/// The limit of the key that [`Task`]s with `limited` share.
pub(crate) const PLACES: u32 = 2;

/// The period of the recurring job.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// A job that takes some time.
#[derive(Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) n: i64,
    pub(crate) micros: u64,
    pub(crate) limited: bool,
}

impl Job for Task {
    const KIND: &'static str = "task";
}

/// A job with an effect in the database, committed with its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Effect {
    pub(crate) n: i64,
}

impl Job for Effect {
    const KIND: &'static str = "effect";

    fn options() -> Options {
        Options::new().backoff(Backoff::constant(Duration::from_millis(1)))
    }
}

/// A job that runs until the test creates the file `open`. It holds the write lock of the database if `locks` is set.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wait {
    pub(crate) n: i64,
    pub(crate) locks: bool,
}

impl Job for Wait {
    const KIND: &'static str = "wait";
}

/// A job that kills its process.
#[derive(Serialize, Deserialize)]
pub(crate) struct Poison {
    pub(crate) n: i64,
}

impl Job for Poison {
    const KIND: &'static str = "poison";
}

/// The recurring job.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tick {}

impl Job for Tick {
    const KIND: &'static str = "tick";
}

pub(crate) fn db_path(folder: &Path) -> PathBuf {
    folder.join("jobs.db")
}

/// A store with the table of effects, for the test itself.
pub(crate) fn open(folder: &Path) -> Jobs {
    let jobs = Jobs::open(db_path(folder)).unwrap();
    let db = rusqlite::Connection::open(db_path(folder)).unwrap();
    db.execute_batch("CREATE TABLE IF NOT EXISTS effect(n INTEGER NOT NULL)").unwrap();
    jobs
}

pub(crate) fn run(program: &str) {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    match program {
        "work" => work(&folder, Clock::system()),
        "work with recurring" => {
            let jobs = Jobs::open(db_path(&folder)).unwrap();
            jobs.recurring([Recurring::every("tick", PERIOD, &Tick {})]).unwrap();
            work(&folder, Clock::system());
        }
        "work by a jumping clock" => work_by_a_jumping_clock(&folder),
        "enqueue" => enqueue(&folder),
        "enqueue until full" => crate::disks::enqueue_until_full(&folder),
        "open" => println!("opened: {:?}", Jobs::open(db_path(&folder)).map(|_| ()).map_err(|error| error.to_string())),
        "scenario" => crate::crashes::scenario(&folder),
        "work through failures" => crate::crashes::work_through_failures(&folder),
        other => panic!("unknown program `{other}`"),
    }
}

fn ready(folder: &Path) {
    fs::write(folder.join(format!("ready.{}", std::process::id())), "").unwrap();
}

/// Runs jobs on two threads until SIGTERM.
fn work(folder: &Path, clock: Clock) {
    let jobs = Jobs::builder().clock(clock).open(db_path(folder)).unwrap();
    let (events, witness) = (jobs.events(), Witness::new(folder));
    std::thread::spawn(move || {
        for event in events {
            if matches!(event.what, JobEventKind::StoreFailed { .. }) {
                witness.log("store-failed", 0, 0);
            }
        }
    });
    let mut host = Host::new();
    host.stop_timeout(Duration::from_secs(20));
    host.add("jobs", jobs.workers(2, handlers(folder)));
    let announced = folder.to_owned();
    host.add(
        "ready",
        hosted::task(move |_| {
            ready(&announced);
            Ok(())
        }),
    );
    host.run().unwrap();
}

pub(crate) fn handlers(folder: &Path) -> Handlers {
    let at = |folder: &Path| Witness::new(folder);
    let (task, effect, wait, poison, tick) = (at(folder), at(folder), at(folder), at(folder), at(folder));
    Handlers::new()
        .handle(move |job: Task, ctx: &JobContext| {
            let _place = job.limited.then(|| task.take_place(PLACES));
            let _run = task.start(job.n, ctx.id());
            ctx.sleep(Duration::from_micros(job.micros))?;
            task.log("end", job.n, ctx.id());
            Ok(())
        })
        .handle(move |job: Effect, ctx: &JobContext| {
            let _run = effect.start(job.n, ctx.id());
            let happens = || -> Result<(), JobError> {
                let tx = ctx.transaction()?;
                tx.execute("INSERT INTO effect(n) VALUES (?1)", [job.n])?;
                ctx.complete_on(&tx)?;
                Ok(tx.commit()?)
            };
            let result = happens();
            effect.log(if result.is_ok() { "end" } else { "refused" }, job.n, ctx.id());
            result
        })
        .handle(move |job: Wait, ctx: &JobContext| {
            let _run = wait.start(job.n, ctx.id());
            let tx = if job.locks { Some(ctx.transaction()?) } else { None };
            wait.log("waits", job.n, ctx.id());
            while !wait.path("open").exists() {
                ctx.sleep(Duration::from_millis(2))?;
            }
            if let Some(tx) = tx {
                tx.commit()?;
            }
            wait.log("end", job.n, ctx.id());
            Ok(())
        })
        .handle(move |job: Poison, ctx: &JobContext| {
            let _run = poison.start(job.n, ctx.id());
            std::process::abort()
        })
        .handle(move |_: Tick, ctx: &JobContext| {
            let due = ctx.due_at().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
            tick.log("tick", i64::try_from(due).unwrap(), i64::from(ctx.missed()));
            Ok(())
        })
}

/// Works by a clock that goes with the time, and jumps by up to an hour forward and back.
fn work_by_a_jumping_clock(folder: &Path) {
    const STEP: Duration = Duration::from_millis(2);
    let time = ManualClock::at(SystemTime::now());
    let clock = time.clock();
    let (jumping, began, mut round) = (time, Instant::now(), 0_u64);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(STEP);
            jumping.advance(STEP);
            round += 1;
            if round % 25 == 0 {
                // 0, 17, 34 … minutes ahead, then behind: always another jump.
                let minutes = Duration::from_secs(round * 17 % 60 * 60);
                let base = SystemTime::now() + began.elapsed() / 1_000_000;
                jumping.set_system_time(if round % 50 == 0 { base + minutes } else { base - minutes });
            }
        }
    });
    work(folder, clock);
}

/// Enqueues until it is killed, and logs each job after `Ok`: one at a time, many in a call, in a transaction of its own.
fn enqueue(folder: &Path) {
    let (jobs, witness) = (Jobs::open(db_path(folder)).unwrap(), Witness::new(folder));
    let mut db = rusqlite::Connection::open(db_path(folder)).unwrap();
    db.busy_timeout(Duration::from_secs(20)).unwrap();
    ready(folder);
    let pid = i64::from(std::process::id());
    for round in 0.. {
        let n = pid * 1_000_000 + round * 10;
        let limited = |n: i64| Task { n, micros: 300, limited: true };
        let with_limit = |n: i64| Enqueue::new(&limited(n)).limit("key", PLACES);
        let mut stored: Vec<(i64, i64)> = Vec::new();
        stored.push((n, jobs.enqueue(&Task { n, micros: 200, limited: false }).unwrap().id()));
        let many = jobs.enqueue_all((1..=2).map(|more| with_limit(n + more))).unwrap();
        stored.extend(many.iter().enumerate().map(|(more, job)| (n + 1 + more as i64, job.id())));
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        let inside = jobs.enqueue_on(&tx, &Effect { n: n + 3 }).unwrap().id();
        tx.commit().unwrap();
        stored.push((n + 3, inside));
        // Rolled back: nobody may ever see it.
        let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        jobs.enqueue_on(&tx, &Effect { n: -1 }).unwrap();
        drop(tx);
        for (n, id) in stored {
            witness.log("stored", n, id);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
