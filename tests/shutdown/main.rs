//! Stopping a host: the order, the deadlines, hung services, drops, and the report.

#[path = "../support/mod.rs"]
mod support;

mod at_scale;
mod callback;
mod dropping;
mod ends;
mod handle;
mod host;
mod hung;
mod idle;
mod in_time;
mod last_moment;
mod order;
mod reaper;
mod reaper_threads;
mod report;
mod starved;
mod user_errors;
mod waiting_for;

#[cfg(target_os = "linux")]
#[test]
#[ignore = "the child processes of other tests"]
fn programs() {
    support::child::play(&[starved::PROGRAMS]);
}
