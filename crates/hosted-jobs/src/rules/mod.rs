//! What the steps of a store mean: uniqueness, limits, claims, results, rescue, schedules. The same for every store.
//!
//! Each function works in one write transaction, and leaves the store in order when it returns `Ok`.

mod limits;
mod enqueueing;
mod claiming;
mod results;
mod rescue;
mod firing;
mod control;

pub(crate) use claiming::{ClaimRequest, claim};
pub use control::Cancelling;
pub(crate) use control::{PRUNE_PAUSE, Retention, cancel, prune};
#[cfg(feature = "sqlite")]
pub(crate) use enqueueing::new_job;
pub(crate) use enqueueing::{EnqueueOutcome, EnqueueRequest, UniqueRequest, When, enqueue};
pub(crate) use firing::{Declaration, Template, declare, fire_due, next_after};
pub(crate) use rescue::rescue;
pub(crate) use results::{CompletedRun, Recorded, RunResult, record_result};
