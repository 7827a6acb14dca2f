//! One transaction of the writer: results of finished jobs, rescue, schedules, and the next jobs.

use crate::commit::UnitOfWork;
use crate::rules::{ClaimRequest, CompletedRun, Recorded, claim, fire_due, record_result, rescue};
use crate::state::State;
use crate::store::{Backend, Claimed, KindVersion, Pause, PutBack, Result};
use crate::util::Millis;
use std::sync::Arc;

/// What the writer wants from one transaction. It can be tried again.
#[derive(Clone)]
pub(super) struct Cycle {
    pub(super) worker: i64,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) results: Arc<Vec<CompletedRun>>,
    pub(super) rescue: bool,
    pub(super) max_deaths: u32,
    pub(super) cancels: bool,
    /// After a transaction whose outcome is unknown: the jobs that this worker knows of. All others are put back.
    pub(super) known: Option<Vec<i64>>,
    pub(super) kinds: Arc<Vec<KindVersion>>,
    pub(super) queues: Option<Arc<Vec<String>>>,
    pub(super) most: usize,
    pub(super) suspect: bool,
    pub(super) turn: usize,
}

/// What a transaction of the writer came to.
pub(super) struct CycleResult {
    pub(super) jobs: Vec<Claimed>,
    /// Jobs that this process ran and that no longer belong to it.
    pub(super) lost: Vec<i64>,
    /// Jobs of this process that somebody wants to end.
    pub(super) cancelled: Vec<i64>,
    pub(super) pauses: Vec<Pause>,
    /// Whether other workers hold jobs.
    pub(super) others_run_jobs: bool,
    pub(super) next_due: Option<Millis>,
}

impl Cycle {
    pub(super) fn run(&self, work: &mut UnitOfWork<'_>) -> Result<CycleResult> {
        let mut lost = Vec::new();
        for result in self.results.iter() {
            if record_result(work, result)? == Recorded::LostClaim {
                lost.push(result.fence.id);
            }
        }
        if let Some(known) = &self.known {
            self.reconcile(work, known)?;
        }
        if self.rescue {
            rescue(work, &*self.backend, self.worker, self.max_deaths)?;
        }
        fire_due(work)?;
        let request = ClaimRequest {
            worker: self.worker,
            kinds: &self.kinds,
            queues: self.queues.as_deref().map(Vec::as_slice),
            most: self.most,
            suspect: self.suspect,
            turn: self.turn,
        };
        let jobs = claim(work, &request)?;
        let cancelled = if self.cancels { self.cancelled(work)? } else { Vec::new() };
        let next_run = work.tx.next_run_at()?;
        let next_schedule = work.tx.next_schedule_at()?;
        Ok(CycleResult {
            jobs,
            lost,
            cancelled,
            pauses: work.tx.pauses()?,
            others_run_jobs: work.tx.others_run_jobs(self.worker)?,
            next_due: next_run.into_iter().chain(next_schedule).min(),
        })
    }

    /// Puts back what this worker holds in the store and knows nothing of: the answer to its claim was lost.
    fn reconcile(&self, work: &mut UnitOfWork<'_>, known: &[i64]) -> Result<()> {
        for job in work.tx.running_jobs(self.worker)? {
            if !known.contains(&job.fence.id) {
                let how = PutBack { state: State::Ready, run_at: None, failed: 0, lost: 0, error: None };
                work.tx.put_back(&job.fence, &how)?;
            }
        }
        Ok(())
    }

    fn cancelled(&self, work: &mut UnitOfWork<'_>) -> Result<Vec<i64>> {
        let held = work.tx.running_jobs(self.worker)?;
        Ok(held.iter().filter(|job| job.stop_wanted).map(|job| job.fence.id).collect())
    }
}
