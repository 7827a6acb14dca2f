//! The health of services and hosts: degraded and stalled services, readiness, liveness, and the drain before a stop.

#[path = "../support/mod.rs"]
mod support;

mod degraded;
mod monitor;
mod ready;
mod stalled;

#[test]
#[ignore = "the child processes of other tests"]
#[cfg(target_os = "linux")]
fn programs() {
    support::child::play(&[monitor::PROGRAMS]);
}
