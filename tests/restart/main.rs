//! Restarting services: policies, backoffs, and stop requests in the middle of them.

#[path = "../support/mod.rs"]
mod support;

mod backoff;
mod finish;
mod first_start;
mod late;
mod observed;
mod supervise;
