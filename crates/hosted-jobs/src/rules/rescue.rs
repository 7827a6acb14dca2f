//! The jobs of dead processes: they run again, unless their process has died too often while they ran.

use super::limits;
use crate::commit::UnitOfWork;
use crate::events::JobEventKind;
use crate::state::{Outcome, State};
use crate::store::{Backend, End, PutBack, Result, RunningJob, WorkerRow};

/// A job is dead when its process has died this often while it ran.
const MAX_LOST: u32 = 3;

/// Gives back the jobs of every dead process. `me` is the worker that asks, and so is alive.
pub(crate) fn rescue(work: &mut UnitOfWork<'_>, backend: &dyn Backend, me: i64) -> Result<()> {
    for worker in work.tx.workers()? {
        if worker.id == me || !backend.is_dead(worker.id) {
            continue;
        }
        for job in work.tx.running_jobs(worker.id)? {
            give_back(work, &worker, &job)?;
        }
        work.tx.remove_worker(worker.id)?;
        backend.forget(worker.id);
    }
    Ok(())
}

fn give_back(work: &mut UnitOfWork<'_>, worker: &WorkerRow, job: &RunningJob) -> Result<()> {
    // A process that was stopping in order has done nothing wrong, and neither has its job.
    let lost = u32::from(!worker.stopping);
    let total = job.lost.saturating_add(lost);
    let end = if job.stop_wanted {
        Some(End { lost, ..End::from_outside(Outcome::Cancelled, work.now) })
    } else if lost > 0 && total >= MAX_LOST {
        let error = format!("its process ended {total} times while it ran");
        Some(End { lost, error: Some(error), ..End::from_outside(Outcome::Dead, work.now) })
    } else {
        None
    };
    match end {
        Some(end) => {
            if let Some(place) = work.tx.finish(&job.fence, &end)? {
                limits::release_place(work.tx, &place)?;
            }
            work.emit(job.fence.id, &job.kind, JobEventKind::Rescued { lost: total });
            work.emit(job.fence.id, &job.kind, JobEventKind::Finished(end.outcome));
        }
        None => {
            let how = PutBack { state: State::Ready, run_at: None, failed: 0, lost, error: None };
            work.tx.put_back(&job.fence, &how)?;
            work.emit(job.fence.id, &job.kind, JobEventKind::Rescued { lost: total });
        }
    }
    work.ring();
    Ok(())
}
