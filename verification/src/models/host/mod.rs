//! The host: its registry, its services, and the shutdown, under shuttle.
//!
//! Two things are left out. Shuttle does not know the waits of crossbeam's channels: `StopToken::recv` and
//! `ManualClock`. The thread of `request_stop_after` would outlive a schedule: instead a model decides when a time has
//! come.
#![allow(clippy::unit_arg, reason = "`Ok(ctx.wait())` is all that some probes do")]

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
mod observers;
mod queue;
mod consumers;
mod batches;
