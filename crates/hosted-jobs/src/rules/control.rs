//! What people do to jobs from outside: cancel. And what the library does to old ones: prune.

use super::limits;
use crate::commit::UnitOfWork;
use crate::events::JobEventKind;
use crate::state::Outcome;
use crate::store::{End, Result};
use crate::util::Millis;
use std::time::Duration;

/// What became of a request to cancel a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelling {
    /// The job was waiting, and has ended as cancelled.
    Cancelled,
    /// The job runs. Its stop token will be stopped, and it will not run again.
    Requested,
    /// The job has ended already, or there is no such job.
    NotLive,
}

/// Cancels a job.
pub(crate) fn cancel(work: &mut UnitOfWork<'_>, id: i64) -> Result<Cancelling> {
    let end = End::from_outside(Outcome::Cancelled, work.now);
    let kind = work.tx.job(id)?.map(|job| job.kind).unwrap_or_default();
    if let Some(place) = work.tx.finish_waiting(id, &end)? {
        limits::release_place(work.tx, &place)?;
        work.emit(id, &kind, JobEventKind::Finished(Outcome::Cancelled));
        work.ring();
        return Ok(Cancelling::Cancelled);
    }
    if work.tx.request_cancel(id)? {
        work.ring();
        return Ok(Cancelling::Requested);
    }
    Ok(Cancelling::NotLive)
}

/// How long finished jobs are kept, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) succeeded: Millis,
    pub(crate) dead: Millis,
    pub(crate) cancelled: Millis,
}

/// How many rows one transaction deletes: few enough not to hold up a claim.
const PRUNED: usize = 1_000;

/// How long to leave the store to others between two such transactions.
pub(crate) const PRUNE_PAUSE: Duration = Duration::from_millis(2);

/// Deletes old jobs and keys, some of them. Returns how many, and whether there are more.
pub(crate) fn prune(work: &mut UnitOfWork<'_>, keep: &Retention) -> Result<(usize, bool)> {
    let kept = [(Outcome::Succeeded, keep.succeeded), (Outcome::Dead, keep.dead), (Outcome::Cancelled, keep.cancelled)];
    let mut pruned = 0;
    for (outcome, time) in kept {
        pruned += work.tx.prune(outcome, work.now.saturating_sub(time), PRUNED - pruned)?;
        if pruned >= PRUNED {
            return Ok((pruned, true));
        }
    }
    let keys = work.tx.prune_once(work.now, PRUNED)?;
    Ok((pruned, keys >= PRUNED))
}
