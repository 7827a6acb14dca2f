//! The health of services and hosts: degraded and stalled services, readiness, liveness, and the drain before a stop.

#[path = "../support/mod.rs"]
mod support;

mod degraded;
mod ready;
