//! A stop that waits uses no processor time, even if little time is left.

#![cfg(target_os = "linux")] // only /proc shows the processor time of a thread

use crate::support::{LIMIT, alone, cost, unresponsive, wait_for_task};
use hosted::{Host, group};
use std::time::Duration;

#[test]
fn a_stop_that_waits_for_an_unresponsive_service_uses_no_cpu() {
    alone!();
    const STOPS: u64 = 100;
    let (unresponsive, release) = unresponsive();
    let mut host = Host::new();
    host.add("stuck", unresponsive);
    host.start().unwrap();
    let (before, _) = cost("/proc/thread-self").unwrap();
    for _ in 0..STOPS {
        host.stop(Duration::from_millis(12)).unwrap_err();
    }
    let (after, _) = cost("/proc/thread-self").unwrap();
    // In ticks of 10 ms. Polling, or spinning in the last ten milliseconds of each stop, would cost a tick for each.
    assert!(after - before < STOPS / 10, "{} ticks", after - before);
    drop(release);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_group_that_waits_for_an_unresponsive_child_uses_no_cpu() {
    alone!();
    let (unresponsive, release) = unresponsive();
    let mut unresponsive = Some(unresponsive);
    let mut host = Host::new();
    let fill = move |inside: &mut Host| {
        inside.add("stuck", unresponsive.take().ok_or("once")?);
        Ok(())
    };
    host.add("with a stuck", group(fill));
    host.start().unwrap();
    let task = wait_for_task("with a stuck");
    let (before, _) = cost(&task).unwrap();
    host.stop(Duration::from_secs(1)).unwrap_err();
    let (after, _) = cost(&task).unwrap(); // the thread still waits for the child
    assert!(after - before < 25, "{} ticks of a hundred", after - before);
    drop(release);
    host.stop(LIMIT).unwrap();
}
