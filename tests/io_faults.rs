//! Promises of feature `io` where the system says no, or where somebody else is faster: other readers, other processes,
//! no descriptor left, a deadline that moves, a child that is suspended or gone.

#![cfg(all(feature = "io", target_os = "linux"))]

mod child;
mod common;
mod io_common;

#[path = "io_faults/children.rs"]
mod children;
#[path = "io_faults/forked.rs"]
mod forked;
#[path = "io_faults/incoming.rs"]
mod incoming;
#[path = "io_faults/readers.rs"]
mod readers;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;

#[test]
#[ignore = "the children of the others"]
fn programs() {
    child::play(&[
        ("children without descriptors", children::without_descriptors),
        ("children without SIGCHLD", children::without_sigchld),
        ("incoming of a token", incoming::of_a_token),
        ("incoming of a service", incoming::of_a_service),
        ("a stop in a forked process", forked::a_stop_in_the_forked_process),
        ("a wait in a forked process", forked::a_wait_in_the_forked_process),
    ]);
}

/// In a child: takes every descriptor that this process may still have. They are free again when this is dropped.
fn every_descriptor() -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(24), "EMFILE");
    taken
}
