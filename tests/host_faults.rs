//! Faults of the host that were found from outside: a restart that a stop cuts off, snapshots of wide hosts, memory that
//! nobody frees, and set-ups that fail half done.

#[cfg(unix)]
mod child;
mod common;

#[path = "host_faults/heap.rs"]
mod heap;

#[path = "host_faults/finish.rs"]
mod finish;
#[path = "host_faults/setup.rs"]
mod setup;
#[cfg(unix)]
#[path = "host_faults/signals.rs"]
mod signals;
#[path = "host_faults/wide.rs"]
mod wide;

#[cfg(unix)]
#[test]
#[ignore = "the children of the others"]
fn programs() {
    child::play(&signals::PROGRAMS);
}
