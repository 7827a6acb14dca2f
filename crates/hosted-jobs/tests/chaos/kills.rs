//! Processes that die at any moment.

use crate::children::{Process, command};
use crate::programs::{Effect, PERIOD, Poison, Task, db_path, open};
use crate::support::{PATIENCE, wait_until};
use crate::witness::Witness;
use hosted_jobs::{Enqueue, JobState, Outcome, rusqlite};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A generator that a failure can be repeated with.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn number(db: &rusqlite::Connection, sql: &str) -> i64 {
    db.query_row(sql, [], |row| row.get(0)).unwrap()
}

// 1, 2, 3, 9, 25, 27, 28, 32, 43, 44, 51, 56
#[test]
fn random_kills_lose_nothing_and_run_nothing_twice_at_a_time() {
    let kills: u64 = std::env::var("CHAOS_KILLS").map_or(15, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let db = rusqlite::Connection::open(db_path(folder.path())).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let start = |program| Process::start(folder.path(), program);
    let mut workers: Vec<Process> = (0..3).map(|_| start("work with recurring")).collect();
    let mut enqueuer = start("enqueue");
    let mut random = Random(u64::from(std::process::id()) | 1);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(20 + random.below(100)));
        if random.below(4) == 0 {
            // A writer of the user's own holds the lock for a while.
            db.execute_batch("BEGIN IMMEDIATE").unwrap();
            std::thread::sleep(Duration::from_millis(random.below(60)));
            db.execute_batch("COMMIT").unwrap();
        }
        match random.below(4) as usize {
            3 => std::mem::replace(&mut enqueuer, start("enqueue")).kill(),
            n => {
                workers.remove(n).kill();
                workers.push(start("work with recurring")); // at once, on the same machine: a new worker
            }
        }
    }
    enqueuer.kill();
    jobs.pause_schedule("tick").unwrap();
    wait_until("nothing is live", || number(&db, "SELECT count(*) FROM hosted_job") == 0);
    for worker in workers {
        assert!(worker.stop().success());
    }
    witness.assert_no_violation();
    check_stored_jobs(&jobs, &witness);
    check_effects(&db);
    check_ticks(&db);
    assert_eq!(number(&db, "SELECT count(*) FROM hosted_worker"), 0, "dead workers are removed");
    assert_eq!(number(&db, "SELECT count(*) FROM hosted_done WHERE kind = 'effect' AND payload LIKE '%-1%'"), 0);
}

/// Every job whose `enqueue` returned `Ok` has ended, and well: only three deaths under it may have killed it.
fn check_stored_jobs(jobs: &hosted_jobs::Jobs, witness: &Witness) {
    let lines = witness.lines();
    let stored: Vec<_> = lines.iter().filter(|line| line.what == "stored").collect();
    assert!(!stored.is_empty());
    let mut starts: BTreeMap<i64, u32> = BTreeMap::new();
    for line in lines.iter().filter(|line| line.what == "start") {
        *starts.entry(line.n).or_default() += 1;
    }
    for line in stored {
        let job = jobs.get(line.more).unwrap().unwrap_or_else(|| panic!("job {} is lost", line.more));
        let runs = starts.get(&line.n).copied().unwrap_or(0);
        match job.state {
            JobState::Finished(Outcome::Succeeded) => {
                assert!(runs >= 1 && i64::from(runs) <= job.claims, "{runs} runs, and {} claims", job.claims);
                assert_eq!(job.failures, 0, "{:?}", job.error);
            }
            JobState::Finished(Outcome::Dead) => assert_eq!(job.lost, 3, "{:?}", job.error),
            other => panic!("job {} is {other}", job.id),
        }
    }
}

/// A job whose end is in the transaction of its effect has exactly one effect.
fn check_effects(db: &rusqlite::Connection) {
    assert_eq!(number(db, "SELECT count(*) - count(DISTINCT n) FROM effect"), 0, "an effect happened twice");
    let succeeded = "SELECT count(*) FROM hosted_done WHERE kind = 'effect' AND outcome = 0";
    assert_eq!(number(db, "SELECT count(*) FROM effect"), number(db, succeeded));
}

/// Every due time made at most one job, and is counted if it made none.
fn check_ticks(db: &rusqlite::Connection) {
    let mut rows = db.prepare("SELECT due_at, missed FROM hosted_done WHERE kind = 'tick' ORDER BY due_at").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let ticks: Vec<(i64, i64)> = rows.collect::<Result<_, _>>().unwrap();
    assert!(ticks.len() > 2);
    let period = i64::try_from(PERIOD.as_millis()).unwrap();
    for pair in ticks.windows(2) {
        let passed = (pair[1].0 - pair[0].0) / period;
        assert!(passed >= 1 && (pair[1].0 - pair[0].0) % period == 0, "a due time has two jobs: {pair:?}");
        assert_eq!(passed - 1, pair[1].1, "a due time without a job is not counted: {pair:?}");
    }
}

// 26, 28, 29
#[test]
fn a_job_that_kills_its_process_dies_alone_at_the_third_death() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let short = |n| Enqueue::new(&Task { n, micros: 2_000, limited: false });
    let before = jobs.enqueue_all((0..25).map(short)).unwrap();
    let poison = jobs.enqueue(&Poison { n: 1_000 }).unwrap().id();
    let after = jobs.enqueue_all((25..50).map(short)).unwrap();
    let is_finished = |id| jobs.get(id).unwrap().is_some_and(|job| job.state.is_finished());
    while !is_finished(poison) {
        let worker = Process::spawn(&mut command(folder.path(), "work")); // it may die before it is ready
        let pid = worker.pid();
        wait_until("the poison has killed a process, or is dead", || {
            rustix::process::test_kill_process(pid).is_err() || is_zombie(pid) || is_finished(poison)
        });
        worker.kill();
    }
    let worker = Process::start(folder.path(), "work");
    wait_until("all others have ended", || before.iter().chain(&after).all(|job| is_finished(job.id())));
    assert!(worker.stop().success());
    let dead = jobs.get(poison).unwrap().unwrap();
    assert_eq!((dead.state, dead.lost), (JobState::Finished(Outcome::Dead), 3));
    assert_eq!(dead.error.as_deref(), Some("its process ended 3 times while it ran"));
    assert_eq!(witness.lines().iter().filter(|line| line.n == 1_000).count(), 3);
    for job in before.iter().chain(&after) {
        assert_eq!(jobs.get(job.id()).unwrap().unwrap().state, JobState::Finished(Outcome::Succeeded));
    }
    witness.assert_no_violation();
}

fn is_zombie(pid: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.map_or(true, |text| text.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
}

// 1
#[test]
fn ok_from_enqueue_survives_the_death_of_every_process() {
    let folder = tempfile::tempdir().unwrap();
    let witness = Witness::new(folder.path());
    drop(open(folder.path()));
    let enqueuers: Vec<Process> = (0..4).map(|_| Process::start(folder.path(), "enqueue")).collect();
    wait_until("jobs are stored", || witness.count("stored") > 100);
    enqueuers.into_iter().for_each(Process::kill);
    let jobs = open(folder.path());
    let stored: BTreeSet<i64> = witness.lines().iter().map(|line| line.more).collect();
    for id in &stored {
        assert_eq!(jobs.get(*id).unwrap().unwrap().claims, 0);
    }
    assert!(stored.len() > 100);
}

// 27
#[test]
fn jobs_of_a_killed_process_run_again_in_another_one_and_after_a_restart() {
    for restart in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
        let first = Process::start(folder.path(), "work");
        let slow = |n| Enqueue::new(&Task { n, micros: 60_000_000, limited: false });
        let ids = jobs.enqueue_all((0..2).map(slow)).unwrap();
        wait_until("both run", || witness.count("start") == 2);
        let other = (!restart).then(|| Process::start(folder.path(), "work"));
        first.kill();
        let killed = std::time::Instant::now();
        let other = other.unwrap_or_else(|| Process::start(folder.path(), "work"));
        // Suspects run one at a time, so the second one waits.
        wait_until("a job runs again", || witness.count("start") == 3);
        println!("run again after {:?}, restart: {restart}", killed.elapsed());
        let infos: Vec<_> = ids.iter().map(|id| jobs.get(id.id()).unwrap().unwrap()).collect();
        assert!(infos.iter().all(|job| job.lost == 1 && job.failures == 0));
        assert_eq!(infos.iter().filter(|job| job.state == JobState::Running).count(), 1);
        other.kill();
        witness.assert_no_violation();
    }
}

// 25
#[test]
fn an_effect_in_the_transaction_of_its_jobs_end_happens_once() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let ids = jobs.enqueue_all((0..200).map(|n| Enqueue::new(&Effect { n }))).unwrap();
    let db = rusqlite::Connection::open(db_path(folder.path())).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    for round in 1..=4 {
        let worker = Process::start(folder.path(), "work");
        wait_until("some effects have happened", || witness.count("end") >= round * 40);
        worker.kill();
    }
    let worker = Process::start(folder.path(), "work");
    wait_until("all have ended", || number(&db, "SELECT count(*) FROM hosted_job") == 0);
    assert!(worker.stop().success());
    check_effects(&db);
    assert_eq!(ids.len(), 200);
    witness.assert_no_violation();
}

// 28, 29
#[test]
fn a_death_is_charged_to_the_jobs_that_ran_and_not_to_those_that_were_claimed_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let db = rusqlite::Connection::open(db_path(folder.path())).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let short = |n| Enqueue::new(&Task { n, micros: 0, limited: false });
    jobs.enqueue_all((0..3_000).map(short)).unwrap();
    for kills in 1..=4 {
        let worker = Process::start(folder.path(), "work");
        wait_until("many short jobs have run", || witness.count("end") >= kills * 300);
        worker.kill();
        let sql = "SELECT total(lost) FROM (SELECT lost FROM hosted_job UNION ALL SELECT lost FROM hosted_done)";
        let charged: f64 = db.query_row(sql, [], |row| row.get(0)).unwrap();
        // Two threads in each of the processes that are dead and rescued.
        assert!(charged <= 2.0 * (kills - 1) as f64, "{charged} deaths charged after {kills} kills");
    }
    let worker = Process::start(folder.path(), "work");
    wait_until("all have ended", || number(&db, "SELECT count(*) FROM hosted_job") == 0);
    assert!(worker.stop().success());
    assert_eq!(number(&db, "SELECT count(*) FROM hosted_done WHERE outcome = 0"), 3_000);
    assert!(number(&db, "SELECT sum(lost) FROM hosted_done") <= 2 * 4);
}
