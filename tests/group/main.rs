//! Groups: hosts inside hosts.

#[path = "../support/mod.rs"]
mod support;

mod deadline;
mod group;
mod hung;
mod names;
mod stop;
