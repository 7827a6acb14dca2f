//! Many members, one after another and at the same time.

use crate::support::{LIMIT, alone, times};
use crate::{idle, running};
use hosted::{AddError, DynamicGroup, ServiceOptions, StopSource, once};
use std::fs;

fn open(folder: &str) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Adds that many members, eight at a time, and waits until all have ended.
fn come_and_go(group: &DynamicGroup, members: usize) {
    let never = StopSource::new();
    for n in 0..members {
        loop {
            group.wait_for_room(&never.token()).unwrap();
            match group.add(format!("{n}"), once(|_| Ok(()))) {
                Ok(_) => break,
                Err(AddError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    while !group.is_empty() {
        std::thread::yield_now();
    }
}

/// Waits until that many threads are left: the kernel lists a thread for a moment after its end.
fn wait_for_threads(threads: usize) {
    let limit = std::time::Instant::now() + LIMIT;
    while open("/proc/self/task") > threads {
        assert!(std::time::Instant::now() < limit, "{} threads are left", open("/proc/self/task"));
        std::thread::yield_now();
    }
}

// 122
#[test]
fn members_in_sequence_leave_no_thread_and_no_descriptor() {
    alone!();
    let group = DynamicGroup::new().limit(8);
    let mut host = running(&group);
    come_and_go(&group, 100);
    wait_for_threads(open("/proc/self/task").min(3));
    let (threads, descriptors) = (open("/proc/self/task"), open("/proc/self/fd"));
    come_and_go(&group, times(20_000));
    wait_for_threads(threads);
    assert_eq!(open("/proc/self/fd"), descriptors);
    assert_eq!(host.handle().services().len(), 1);
    assert_eq!(host.handle().services()[0].members.unwrap().ended, 100 + times(20_000) as u64);
    host.stop(LIMIT).unwrap();
}

// 124, 127
#[test]
fn a_thousand_members_are_listed_and_stopped() {
    const MEMBERS: usize = 1_000;
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let mut options = ServiceOptions::new();
    options.stack_size(64 << 10);
    for n in 0..MEMBERS {
        group.add_with(n.to_string(), idle(), options.clone()).unwrap();
    }
    assert_eq!((group.len(), group.members().len(), host.handle().services().len()), (MEMBERS, MEMBERS, 1 + MEMBERS));
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.len(), 1 + MEMBERS);
    assert!(report.to_string().lines().count() < 10, "{report}");
}
