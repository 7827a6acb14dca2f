//! Storing a job: its time, its unique key, its limit.

use super::limits;
use crate::commit::UnitOfWork;
use crate::error::{StoreError, StoreErrorKind};
use crate::events::JobEventKind;
use crate::state::State;
use crate::store::{Limit, NewJob, Occurrence, Result, UniqueKey};
use crate::util::Millis;
use std::time::Duration;

/// A job that is to be stored, before the store has given it a time and a state.
#[derive(Clone, Debug)]
pub(crate) struct EnqueueRequest {
    pub(crate) queue: String,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) priority: i32,
    pub(crate) max_failures: u32,
    pub(crate) when: When,
    pub(crate) unique: Option<UniqueRequest>,
    /// Replace the job that holds the key, if it still waits.
    pub(crate) replace: bool,
    pub(crate) limit: Option<Limit>,
    pub(crate) occurrence: Option<Occurrence>,
    pub(crate) payload: Vec<u8>,
}

/// When a job may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    /// After so many milliseconds by the store's clock.
    After(Millis),
    At(Millis),
}

#[derive(Clone, Debug)]
pub(crate) enum UniqueRequest {
    /// One live job per key.
    Key(UniqueKey),
    /// One job per key within so many milliseconds.
    Within(Vec<u8>, Millis),
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EnqueueOutcome {
    New(i64),
    Existing(i64),
    Replaced(i64),
}

/// How often a key is tried whose holder disappears between two statements.
const TRIES: u32 = 3;

/// Stores a job, or finds the one that holds its unique key.
pub(crate) fn enqueue(work: &mut UnitOfWork<'_>, request: &EnqueueRequest) -> Result<EnqueueOutcome> {
    let job = new_job(request, work.now);
    let taken = match &request.unique {
        None => by_occurrence(work, &job)?,
        Some(UniqueRequest::Key(unique)) => by_key(work, request, &job, &unique.key)?,
        Some(UniqueRequest::Within(key, time)) => within(work, request, &job, key, *time)?,
    };
    match taken {
        EnqueueOutcome::New(id) => work.emit(id, &request.kind, JobEventKind::Enqueued),
        EnqueueOutcome::Replaced(id) => work.emit(id, &request.kind, JobEventKind::Replaced),
        EnqueueOutcome::Existing(_) => return Ok(taken),
    }
    work.ring();
    Ok(taken)
}

/// Returns the row of a request at the time `now`.
pub(crate) fn new_job(request: &EnqueueRequest, now: Millis) -> NewJob {
    let run_at = match request.when {
        When::Now => now,
        When::After(time) => now.saturating_add(time),
        When::At(time) => time.max(now),
    };
    let state = match &request.limit {
        _ if run_at > now => State::Scheduled,
        Some(_) => State::Arrived,
        None => State::Ready,
    };
    let unique = match &request.unique {
        Some(UniqueRequest::Key(unique)) => Some(unique.clone()),
        Some(UniqueRequest::Within(..)) | None => None,
    };
    NewJob {
        queue: request.queue.clone(),
        kind: request.kind.clone(),
        version: request.version,
        priority: request.priority,
        max_failures: request.max_failures,
        state,
        run_at,
        created_at: now,
        unique,
        limit: request.limit.clone(),
        occurrence: request.occurrence.clone(),
        payload: request.payload.clone(),
    }
}

fn by_occurrence(work: &mut UnitOfWork<'_>, job: &NewJob) -> Result<EnqueueOutcome> {
    match work.tx.insert(job)? {
        Some(id) => Ok(EnqueueOutcome::New(id)),
        // Only an occurrence can collide here. Its job exists: whoever made it has the id.
        None if job.occurrence.is_some() => Ok(EnqueueOutcome::Existing(0)),
        None => Err(StoreError::failed("store a job", "the row was refused without a reason")),
    }
}

/// Inserts first and asks later: in the user's own transaction, a read before the first write could make the write
/// impossible.
fn by_key(work: &mut UnitOfWork<'_>, request: &EnqueueRequest, job: &NewJob, key: &[u8]) -> Result<EnqueueOutcome> {
    for _ in 0..TRIES {
        if let Some(id) = work.tx.insert(job)? {
            return Ok(EnqueueOutcome::New(id));
        }
        let Some(holder) = work.tx.unique_holder(key)? else { continue };
        if !(request.replace && holder.state.is_waiting() && work.tx.replace(holder.id, job)?) {
            return Ok(EnqueueOutcome::Existing(holder.id));
        }
        if let Some(key) = &holder.limit_key {
            limits::admit(work.tx, key)?; // it may have been ready, and may have left its place
        }
        return Ok(EnqueueOutcome::Replaced(holder.id));
    }
    Err(StoreError::new(StoreErrorKind::Busy(Duration::ZERO)))
}

fn within(
    work: &mut UnitOfWork<'_>,
    request: &EnqueueRequest,
    job: &NewJob,
    key: &[u8],
    time: Millis,
) -> Result<EnqueueOutcome> {
    let until = work.now.saturating_add(time);
    if !work.tx.take_once(key, until, work.now)? {
        // A key without a job: somebody deleted the reference. Then this is the job of the key.
        if let Some(id) = work.tx.once_job(key)? {
            let replaced = request.replace && work.tx.replace(id, job)?;
            return Ok(if replaced { EnqueueOutcome::Replaced(id) } else { EnqueueOutcome::Existing(id) });
        }
    }
    let Some(id) = work.tx.insert(job)? else {
        return Ok(EnqueueOutcome::Existing(0));
    };
    work.tx.set_once_job(key, id)?;
    Ok(EnqueueOutcome::New(id))
}
