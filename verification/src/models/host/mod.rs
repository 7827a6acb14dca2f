//! The host: its board, the lives of its services, and the stop walk, under shuttle.
//!
//! Left out is what blocks in crossbeam's own channels, which shuttle does not know: `StopToken::recv` and `ManualClock`;
//! and the thread of `request_stop_after`, which outlives a schedule: a model says itself when a time has come.
#![allow(clippy::unit_arg, reason = "`Ok(ctx.wait())` is all that many a probe does")]

mod probe;
mod stage;
mod laws;
mod start;
mod rollback;
mod late;
mod ends;
mod failures;
mod stop;
mod callbacks;
mod reapers;
mod unresponsive;
mod restart;
mod group;
mod group_deadline;
mod looks;
mod health;
mod drain;
mod queue;
mod consumers;
