//! Clocks that jump by up to an hour, forward and back.

use crate::children::{Process, command};
use crate::programs::{Task, db_path, open};
use crate::support::wait_until;
use crate::witness::Witness;
use hosted_jobs::{Enqueue, JobState, Jobs, Outcome, Recurring, rusqlite};
use std::path::Path;
use std::process::Command;

/// Runs jobs in three processes, and checks that each ran once and that no due time fired twice.
fn run_beside(first: &mut dyn FnMut(&Path) -> Command, second: &mut dyn FnMut(&Path) -> Command) {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let recurring = Recurring::every("tick", crate::programs::PERIOD, &crate::programs::Tick {});
    jobs.recurring([recurring]).unwrap();
    let workers = [
        Process::spawn(&mut first(folder.path())),
        Process::spawn(&mut second(folder.path())),
        Process::spawn(&mut command(folder.path(), "work")),
    ];
    workers.iter().for_each(|worker| worker.wait_ready(folder.path()));
    let slow = |n| Enqueue::new(&Task { n, micros: 10_000, limited: false });
    let ids = jobs.enqueue_all((0..300).map(slow)).unwrap();
    wait_until("all have ended", || ids.iter().all(|id| is_finished(&jobs, id.id())));
    jobs.pause_schedule("tick").unwrap();
    for worker in workers {
        assert!(worker.stop().success());
    }
    for id in ids {
        let job = jobs.get(id.id()).unwrap().unwrap();
        let expected = (JobState::Finished(Outcome::Succeeded), 0, 0);
        assert_eq!((job.state, job.lost, job.failures), expected);
    }
    assert_eq!(witness.count("start"), 300, "each job ran once");
    witness.assert_no_violation();
    let db = rusqlite::Connection::open(db_path(folder.path())).unwrap();
    let twice = "SELECT count(*) - count(DISTINCT due_at) FROM (SELECT due_at FROM hosted_done WHERE kind = 'tick' \
                 UNION ALL SELECT due_at FROM hosted_job WHERE kind = 'tick')";
    assert_eq!(db.query_row(twice, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "a due time fired twice");
}

fn is_finished(jobs: &Jobs, id: i64) -> bool {
    jobs.get(id).unwrap().is_some_and(|job| job.state.is_finished())
}

// 30, 47
#[test]
fn a_clock_that_jumps_makes_no_job_run_twice() {
    let mut jumping = |folder: &Path| command(folder, "work by a jumping clock");
    let mut also_jumping = |folder: &Path| command(folder, "work by a jumping clock");
    run_beside(&mut jumping, &mut also_jumping);
}

/// Where Debian keeps the library that sets the clock of a process. The package is `faketime`.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

// 30, 47
#[test]
#[ignore = "needs the package `faketime`"]
fn processes_whose_system_clocks_differ_by_hours_run_no_job_twice() {
    assert!(Path::new(FAKETIME).exists(), "install the package `faketime`");
    let shifted = |folder: &Path, shift: &str| {
        let mut command = command(folder, "work");
        command.env("LD_PRELOAD", FAKETIME).env("FAKETIME", shift).env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    };
    run_beside(&mut |folder| shifted(folder, "+1h"), &mut |folder| shifted(folder, "-1h"));
}
