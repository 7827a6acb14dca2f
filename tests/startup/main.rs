//! Starting a host: the order, the timeouts, the rollback, and set-ups that are refused.

#[path = "../support/mod.rs"]
mod support;

mod diary;
mod in_time;
mod late;
mod order;
mod plan;
mod rollback;
mod started;
