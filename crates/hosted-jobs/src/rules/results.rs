//! The end of a run: what the store does with its result.

use super::limits;
use crate::commit::UnitOfWork;
use crate::events::JobEventKind;
use crate::state::{Outcome, State};
use crate::store::{End, Fence, PutBack, Result};
use crate::util::Millis;
use std::time::Duration;

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) enum RunResult {
    Succeeded,
    /// `wait` is until the next run. The job is dead if it has failed often enough.
    Failed {
        error: String,
        wait: Millis,
    },
    Dead {
        error: String,
    },
    Snoozed {
        wait: Millis,
    },
    /// It came back because of a stop, or was never started.
    HandedBack,
    Cancelled,
}

/// The result of a run, for the store.
#[derive(Clone, Debug)]
pub(crate) struct CompletedRun {
    pub(crate) fence: Fence,
    pub(crate) kind: String,
    /// Failures before this run.
    pub(crate) failed: u32,
    pub(crate) max_failures: u32,
    pub(crate) output: Option<Vec<u8>>,
    pub(crate) result: RunResult,
}

/// What the store did with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// The job has ended.
    Finished(Outcome),
    /// The job will run again.
    PutBack,
    /// The run did not hold the job. Nothing was changed.
    LostClaim,
}

/// Writes the result of a run. Changes nothing if the run no longer holds its job.
pub(crate) fn record_result(work: &mut UnitOfWork<'_>, run: &CompletedRun) -> Result<Recorded> {
    let settled = match &run.result {
        RunResult::Succeeded => finish(work, run, Outcome::Succeeded, None)?,
        RunResult::Cancelled => finish(work, run, Outcome::Cancelled, None)?,
        RunResult::Dead { error } => finish(work, run, Outcome::Dead, Some(error))?,
        // Somebody wants it to end: it does not run again, whatever this run made of that.
        RunResult::Failed { .. } | RunResult::Snoozed { .. } | RunResult::HandedBack
            if work.tx.cancel_requested(&run.fence)? =>
        {
            finish(work, run, Outcome::Cancelled, None)?
        }
        RunResult::Failed { error, .. } if run.failed.saturating_add(1) >= run.max_failures => {
            finish(work, run, Outcome::Dead, Some(error))?
        }
        RunResult::Failed { error, wait } => {
            let failures = run.failed.saturating_add(1);
            let what = JobEventKind::Failed { failures, retry_in: duration(*wait), error: error.clone() };
            let run_at = Some(work.now.saturating_add(*wait));
            let how = PutBack { state: State::Scheduled, run_at, failed: 1, lost: 0, error: Some(error.clone()) };
            put_back(work, run, &how, what)?
        }
        RunResult::Snoozed { wait } => {
            let run_at = Some(work.now.saturating_add(*wait));
            let how = PutBack { state: State::Scheduled, run_at, failed: 0, lost: 0, error: None };
            put_back(work, run, &how, JobEventKind::Snoozed { wait: duration(*wait) })?
        }
        RunResult::HandedBack => {
            // It keeps its place under its limit key.
            let how = PutBack { state: State::Ready, run_at: None, failed: 0, lost: 0, error: None };
            put_back(work, run, &how, JobEventKind::HandedBack)?
        }
    };
    match settled {
        Some(settled) => Ok(settled),
        // The answer to an earlier commit may have been lost, or the job ended inside the user's own transaction.
        None if work.tx.finished_by(&run.fence)? => {
            work.emit(run.fence.id, &run.kind, JobEventKind::Finished(Outcome::Succeeded));
            Ok(Recorded::Finished(Outcome::Succeeded))
        }
        None => {
            work.emit(run.fence.id, &run.kind, JobEventKind::LostClaim);
            Ok(Recorded::LostClaim)
        }
    }
}

fn finish(
    work: &mut UnitOfWork<'_>,
    run: &CompletedRun,
    outcome: Outcome,
    error: Option<&String>,
) -> Result<Option<Recorded>> {
    let failed = u32::from(outcome == Outcome::Dead);
    let end = End { failed, error: error.cloned(), output: run.output.clone(), ..End::by_worker(outcome, work.now) };
    let Some(place) = work.tx.finish(&run.fence, &end)? else { return Ok(None) };
    limits::release_place(work.tx, &place)?;
    work.emit(run.fence.id, &run.kind, JobEventKind::Finished(outcome));
    Ok(Some(Recorded::Finished(outcome)))
}

fn put_back(
    work: &mut UnitOfWork<'_>,
    run: &CompletedRun,
    how: &PutBack,
    what: JobEventKind,
) -> Result<Option<Recorded>> {
    let Some(place) = work.tx.put_back(&run.fence, how)? else { return Ok(None) };
    if how.state != State::Ready {
        limits::release_place(work.tx, &place)?;
    }
    work.emit(run.fence.id, &run.kind, what);
    work.ring();
    Ok(Some(Recorded::PutBack))
}

fn duration(wait: Millis) -> Duration {
    Duration::from_millis(wait.max(0).unsigned_abs())
}
