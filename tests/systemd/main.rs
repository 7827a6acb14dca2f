//! What systemd learns about a host: over a socket of the test, and from a real `systemd --user` if one can be started.

#![cfg(all(target_os = "linux", feature = "systemd"))]

#[path = "../support/mod.rs"]
mod support;

mod manager;
mod messages;
mod watchdog;

#[test]
#[ignore = "the child processes of other tests"]
fn programs() {
    support::child::play(&[messages::PROGRAMS, watchdog::PROGRAMS, manager::PROGRAMS]);
}
