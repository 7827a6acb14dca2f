//! Processes that are stopped by SIGSTOP and go on later: debuggers, suspended machines, cgroup freezers.

use crate::children::Process;
use crate::programs::{Task, Wait, open};
use crate::support::{PATIENCE, Record, named, wait_until};
use crate::witness::Witness;
use hosted_jobs::{Enqueue, EnqueueError, JobState, Jobs, Outcome};
use std::fs;
use std::time::{Duration, Instant};

// 9, 30
#[test]
fn a_frozen_process_keeps_its_job_and_finishes_it() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let frozen = Process::start(folder.path(), "work");
    let id = jobs.enqueue(&Wait { n: 1, locks: false }).unwrap().id();
    wait_until("the job runs", || witness.count("waits") == 1);
    frozen.freeze();
    let other = Process::start(folder.path(), "work");
    // The other one tries the locks several times a second while it works.
    let short = |n| Enqueue::new(&Task { n, micros: 20_000, limited: false });
    jobs.enqueue_all((10..110).map(short)).unwrap();
    wait_until("the other process has done everything else", || witness.count("end") == 100);
    let info = jobs.get(id).unwrap().unwrap();
    assert_eq!((info.state, info.claims, info.lost), (JobState::Running, 1, 0));
    fs::write(witness.path("open"), "").unwrap();
    frozen.thaw();
    wait_until("the job has ended", || jobs.get(id).unwrap().unwrap().state.is_finished());
    let info = jobs.get(id).unwrap().unwrap();
    assert_eq!((info.state, info.claims, info.lost), (JobState::Finished(Outcome::Succeeded), 1, 0));
    assert!(frozen.stop().success() && other.stop().success());
    witness.assert_no_violation();
}

// 37
#[test]
fn a_frozen_holder_of_the_lock_delays_no_stop_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_, witness) = (open(folder.path()), Witness::new(folder.path()));
    let jobs = Jobs::builder().busy_limit(Duration::from_millis(300)).open(folder.path().join("jobs.db")).unwrap();
    let frozen = Process::start(folder.path(), "work");
    jobs.enqueue(&Wait { n: 1, locks: true }).unwrap();
    wait_until("the job holds the write lock", || witness.count("waits") == 1);
    frozen.freeze();
    // This process cannot write, says so, and stops all the same.
    let error = jobs.enqueue(&Wait { n: 2, locks: false }).unwrap_err();
    assert!(matches!(error, EnqueueError::Contended(_)), "{error}");
    assert!(jobs.list(&Default::default()).is_ok(), "readers are not held up");
    let record = Record::default();
    let mut host = hosted::Host::new();
    host.add("jobs", jobs.workers(1, record.handlers()));
    assert!(host.start().is_err(), "workers that cannot register fail the start");
    fs::write(witness.path("open"), "").unwrap();
    frozen.thaw();
    wait_until("the job has ended", || witness.count("end") == 1);
    let mut host = crate::support::workers(&jobs, 1, record.handlers());
    jobs.enqueue(&named("a")).unwrap();
    record.wait_for(1);
    host.stop(PATIENCE).unwrap();
    assert!(frozen.stop().success());
}

// 37
#[test]
fn a_stop_with_a_frozen_holder_of_the_lock_keeps_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let record = Record::default();
    let mut host = crate::support::workers(&jobs, 1, record.handlers_that(|_, ctx| Ok(ctx.sleep(PATIENCE)?)));
    let id = jobs.enqueue(&named("a")).unwrap().id();
    record.wait_for(1);
    let frozen = Process::start(folder.path(), "work");
    jobs.enqueue(&Wait { n: 1, locks: true }).unwrap();
    wait_until("the job holds the write lock", || witness.count("waits") == 1);
    frozen.freeze();
    let began = Instant::now();
    let _ = host.stop(Duration::from_secs(1)); // it cannot write that it has stopped, and may say so
    println!("the stop of 1 s took {:?}", began.elapsed());
    drop(host);
    fs::write(witness.path("open"), "").unwrap();
    frozen.thaw();
    wait_until("the job of the frozen process has ended", || witness.count("end") == 1);
    let mut host = crate::support::workers(&jobs, 1, record.handlers());
    wait_until("nothing is lost", || jobs.get(id).unwrap().unwrap().state.is_finished());
    host.stop(PATIENCE).unwrap();
    assert!(frozen.stop().success());
    assert_eq!(jobs.get(id).unwrap().unwrap().failures, 0);
}

// 23
#[test]
fn a_cancel_reaches_a_running_job_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let worker = Process::start(folder.path(), "work");
    let id = jobs.enqueue(&Wait { n: 1, locks: false }).unwrap().id();
    wait_until("the job runs", || witness.count("waits") == 1);
    jobs.cancel(id).unwrap();
    wait_until("the job has ended", || jobs.get(id).unwrap().unwrap().state.is_finished());
    assert_eq!(jobs.get(id).unwrap().unwrap().state, JobState::Finished(Outcome::Cancelled));
    assert_eq!(witness.count("end"), 0);
    assert!(worker.stop().success());
}
