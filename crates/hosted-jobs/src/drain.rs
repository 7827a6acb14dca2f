//! Runs what is due on the calling thread: for tests, and for programs that work in batches.

use crate::commit::CommitMode;
use crate::context::Run;
use crate::core::Core;
use crate::error::StoreError;
use crate::events::JobEventKind;
use crate::execute::execute;
use crate::handlers::{Handlers, HandlersError};
use crate::registration::Registration;
use crate::rules::{ClaimRequest, Recorded, RunResult, claim, fire_due, record_result};
use crate::state::Outcome;
use crate::store::{Claimed, Result};
use hosted::{Context, StopToken};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// What [`Jobs::drain`](crate::Jobs::drain) has run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    runs: Vec<i64>,
    succeeded: usize,
    failed: usize,
    dead: usize,
    cancelled: usize,
    put_back: usize,
}

impl Drained {
    /// Returns the ids of the jobs that were run, in the order of their runs.
    pub fn ids(&self) -> &[i64] {
        &self.runs
    }

    /// Returns how many jobs succeeded.
    pub fn succeeded(&self) -> usize {
        self.succeeded
    }

    /// Returns how many runs failed and are to be retried.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// Returns how many jobs are dead by now.
    pub fn dead(&self) -> usize {
        self.dead
    }

    /// Returns how many jobs ended as cancelled.
    pub fn cancelled(&self) -> usize {
        self.cancelled
    }

    /// Returns how many runs were snoozed or handed back.
    pub fn put_back(&self) -> usize {
        self.put_back
    }

    fn count(&mut self, id: i64, result: &RunResult, settled: Recorded) {
        self.runs.push(id);
        match settled {
            Recorded::Finished(Outcome::Succeeded) => self.succeeded += 1,
            Recorded::Finished(Outcome::Dead) => self.dead += 1,
            Recorded::Finished(Outcome::Cancelled) => self.cancelled += 1,
            Recorded::PutBack if matches!(result, RunResult::Failed { .. }) => self.failed += 1,
            Recorded::PutBack | Recorded::LostClaim => self.put_back += 1,
        }
    }
}

/// Why [`Jobs::drain`](crate::Jobs::drain) ended early.
#[derive(Debug)]
#[non_exhaustive]
pub enum DrainError {
    /// The handlers are not valid.
    Handlers(HandlersError),
    /// The store failed.
    Store(StoreError),
    /// This job was due again 1,000 times without any time passing: it snoozes for no time, or retries at once.
    Endless(i64),
}

impl fmt::Display for DrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DrainError::Handlers(error) => error.fmt(f),
            DrainError::Store(error) => write!(f, "cannot drain: {error}"),
            DrainError::Endless(id) => write!(
                f,
                "job {id} was due again {MOST_RUNS} times in one drain; it snoozes or retries without any wait"
            ),
        }
    }
}

impl std::error::Error for DrainError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DrainError::Handlers(error) => Some(error),
            DrainError::Store(error) => Some(error),
            DrainError::Endless(_) => None,
        }
    }
}

impl From<StoreError> for DrainError {
    fn from(error: StoreError) -> Self {
        DrainError::Store(error)
    }
}

impl From<HandlersError> for DrainError {
    fn from(error: HandlersError) -> Self {
        DrainError::Handlers(error)
    }
}

/// A job that runs more often than this in one drain would run forever.
const MOST_RUNS: u32 = 1_000;

/// Runs everything that is due, one job after the other, until nothing is due any more.
pub(crate) fn drain(core: &Arc<Core>, handlers: &Handlers) -> Result<Drained, DrainError> {
    handlers.check()?;
    let registration = Registration::new(core, handlers, 1)?;
    let result = drain_as(core, handlers, &registration);
    registration.sign_off(core, Vec::new(), false, None);
    result
}

fn drain_as(core: &Arc<Core>, handlers: &Handlers, registration: &Registration) -> Result<Drained, DrainError> {
    let (worker, life) = (registration.id(), registration.life());
    let service = Context::new("drain", StopToken::never()).with_clock(core.clock.clone());
    let (mut drained, mut runs) = (Drained::default(), HashMap::<i64, u32>::new());
    let mut turn = 0;
    while let Some(job) = claim_one(core, handlers, worker, turn)? {
        turn += 1;
        let id = job.fence.id;
        let times = runs.entry(id).or_default();
        *times += 1;
        if *times > MOST_RUNS {
            return Err(DrainError::Endless(id));
        }
        let run = Run::new(job.fence, None, service.stop_token());
        core.emit(id, &job.kind, JobEventKind::Started);
        life.mark_started(0, Some(id));
        let settlement = execute(core, handlers, &service, &Arc::new(job), &run);
        life.mark_started(0, None);
        let result = settlement.result.clone();
        let settled = core.write(CommitMode::DURABLE, move |work| record_result(work, &settlement))?;
        drained.count(id, &result, settled);
    }
    Ok(drained)
}

fn claim_one(core: &Arc<Core>, handlers: &Handlers, worker: i64, turn: usize) -> Result<Option<Claimed>> {
    let (kinds, queues) = (handlers.kinds(), handlers.queue_names().map(<[String]>::to_vec));
    let mode = CommitMode { durable: false, give_up: None };
    let jobs = core.write(mode, move |work| {
        fire_due(work)?;
        let request = ClaimRequest { worker, kinds: &kinds, queues: queues.as_deref(), most: 1, suspect: true, turn };
        claim(work, &request)
    })?;
    Ok(jobs.into_iter().next())
}
