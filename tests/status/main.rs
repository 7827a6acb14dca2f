//! Feature `status`: the endpoints of the status server, its probes as Kubernetes uses them, and hostile clients.

#![cfg(feature = "status")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod endpoints;
mod facts;
mod hostile;
mod openmetrics;
mod probes;
mod server;

#[cfg(target_os = "linux")]
mod descriptors;
mod served_page;
