//! A process without work makes no system call.

use crate::children::Process;
use crate::programs::{Task, open};
use crate::support::wait_until;
use crate::witness::Witness;
use std::fs;
use std::time::Duration;

/// How often the threads of a process have been switched: each call that waits, and each wake-up, counts.
fn switches(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap());
    let count = |status: String| -> u64 {
        let lines = status.lines().filter(|line| line.contains("voluntary_ctxt_switches"));
        lines.map(|line| line.rsplit('\t').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    statuses.map(count).sum()
}

// 60
#[test]
fn an_idle_process_makes_no_system_call() {
    let folder = tempfile::tempdir().unwrap();
    let (jobs, witness) = (open(folder.path()), Witness::new(folder.path()));
    let worker = Process::start(folder.path(), "work");
    jobs.enqueue(&Task { n: 1, micros: 0, limited: false }).unwrap();
    wait_until("the job has ended", || witness.count("end") == 1);
    let pid = worker.pid().as_raw_nonzero().get();
    // The writer checks for a few more commits, and then sleeps for good.
    wait_until("no thread wakes up for five seconds", || {
        let before = switches(pid);
        std::thread::sleep(Duration::from_secs(5));
        switches(pid) == before
    });
    // It is asleep, and not dead.
    jobs.enqueue(&Task { n: 2, micros: 0, limited: false }).unwrap();
    wait_until("the next job has ended", || witness.count("end") == 2);
    assert!(worker.stop().success());
}
