//! What a host knows and reports of its services: failures, panics, snapshots, events, errors, log lines.

#[path = "../support/mod.rs"]
mod support;

mod auto_traits;
mod error;
mod events;
mod found;
mod locks;
mod logging;
mod logging_levels;
mod panic;
mod setup;
mod snapshots;
mod states;
mod user_errors;
