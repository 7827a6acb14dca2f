//! Restarting services: policies, backoffs, and stop requests in the middle of them.

#[path = "../support/mod.rs"]
mod support;

mod backoff;
mod finish;
mod late;
mod supervise;
