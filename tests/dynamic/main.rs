//! Dynamic groups: services that come and go while the host runs.

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod failures;
mod hung;
mod invalid;
mod many;
mod members;
mod nested;
mod report;
mod stop;

use hosted::{DynamicGroup, Host, Service, worker};

/// A host that runs a dynamic group named `g`.
fn running(group: &DynamicGroup) -> Host {
    let mut host = Host::new();
    host.add("g", group.service());
    host.start().unwrap();
    host
}

/// A member that waits for its stop request.
fn idle() -> impl Service {
    worker(support::waits)
}
