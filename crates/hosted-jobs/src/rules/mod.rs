//! What the steps of a store mean: uniqueness, limits, claims, results, rescue, schedules. The same for every store.
//!
//! Each function works in one write transaction, and leaves the store in order when it returns `Ok`.

mod limits;
mod taking_in;
mod claiming;
mod settling;
mod rescue;
mod firing;
mod control;

pub(crate) use claiming::{ClaimWish, claim};
pub use control::Cancelling;
pub(crate) use control::{Retention, cancel, prune};
pub(crate) use firing::{Declaration, Template, declare, fire_due, next_after};
pub(crate) use rescue::rescue;
pub(crate) use settling::{RunResult, Settled, Settlement, settle};
#[cfg(feature = "sqlite")]
pub(crate) use taking_in::new_job;
pub(crate) use taking_in::{Request, Taken, UniqueRequest, When, enqueue};
