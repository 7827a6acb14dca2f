//! The host: its board, the lives of its services, and the stop walk, under shuttle.
//!
//! Left out is what blocks in crossbeam's own channels, which shuttle does not know: `Queue::push` and a consumer,
//! `StopToken::recv`, `ManualClock`, and `request_stop_after`, whose thread outlives a schedule.
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
mod deaf;
mod restart;
mod group;
mod group_deadline;
mod looks;
mod queue;
