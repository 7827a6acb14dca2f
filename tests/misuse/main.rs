//! Mistakes, hostile input, and calls in an unusual order.

#[path = "../support/mod.rs"]
mod support;

mod errors;
mod forging;
mod group;
mod host;
mod log;
mod queue;
mod secrets;
mod stop;
mod text;
mod time;
