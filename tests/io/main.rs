//! Feature `io`: calls that return at the stop.

#![cfg(feature = "io")]

#[path = "../support/mod.rs"]
mod support;

mod accept;
mod calls;
mod child;
mod children;
mod connect;
mod descriptors;
mod forked;
mod host;
mod idle;
mod incoming;
mod read;
mod readers;
mod wait;

#[cfg(target_os = "linux")]
#[test]
#[ignore = "the child processes of other tests"]
fn programs() {
    support::child::play(&[children::PROGRAMS, forked::PROGRAMS, incoming::PROGRAMS]);
}
