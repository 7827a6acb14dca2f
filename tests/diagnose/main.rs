//! What the host reports about hung threads: the call, the descriptor, and the time. Linux.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "../support/mod.rs"]
mod support;

mod blocked;
mod calls;
mod faults;
mod library_waits;
mod time;
mod unprivileged;

#[test]
#[ignore = "the child processes of other tests"]
fn programs() {
    support::child::play(&[faults::PROGRAMS, unprivileged::PROGRAMS]);
}
