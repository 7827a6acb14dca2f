//! The number of threads that join the threads of services.

#![cfg(target_os = "linux")] // only /proc lists threads

use crate::support::{LIMIT, alone, idle};
use crossbeam_channel::bounded;
use hosted::{Host, worker};
use std::fs;
use std::time::Duration;

/// The number of services that exit at once, beside one that does not.
const ENDING: usize = 20;

fn reapers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(|task| Some(task.ok()?.path().join("comm")));
    tasks.filter(|comm| fs::read_to_string(comm).is_ok_and(|name| name.trim_end() == "hosted-reaper")).count()
}

/// Stops the services, waits so long for the unresponsive one that many reapers could be created, and counts the
/// reapers.
fn reapers_of_a_stop() -> usize {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    let unresponsive = worker(move |_| {
        _ = held.recv();
        Ok(())
    });
    host.add("stuck", unresponsive).after::<&str>([]);
    for number in 0..ENDING {
        let idle = idle();
        host.add(format!("idle {number}"), idle).after::<&str>([]);
    }
    host.start().unwrap();
    host.stop(Duration::from_millis(200)).unwrap_err();
    let reapers = reapers();
    drop(release);
    host.stop(LIMIT).unwrap();
    reapers
}

#[test]
fn a_few_reapers_join_many_threads_that_exit_at_once() {
    alone!();
    // Try more than once: on a busy machine a reaper that waits looks like one that blocks.
    let tries: Vec<usize> = (0..5).map(|_| reapers_of_a_stop()).collect();
    assert!(tries.iter().any(|&reapers| (1..ENDING / 2).contains(&reapers)), "{tries:?}");
}
