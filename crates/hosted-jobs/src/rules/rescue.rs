//! The jobs of dead processes: they run again, unless their process has died too often while they ran.

use super::limits;
use crate::commit::Work;
use crate::events::JobEventKind;
use crate::state::{Outcome, State};
use crate::store::{Backend, End, Holding, PutBack, Result, WorkerRow};

/// A job is dead when its process has died this often while it ran.
const MAX_LOST: u32 = 3;

/// Gives back the jobs of every dead process. `me` is the worker that asks, and so is alive.
pub(crate) fn rescue(work: &mut Work<'_>, backend: &dyn Backend, me: i64) -> Result<()> {
    for worker in work.tx.workers()? {
        if worker.id == me || !backend.is_dead(worker.id) {
            continue;
        }
        for job in work.tx.holdings(worker.id)? {
            give_back(work, &worker, &job)?;
        }
        work.tx.remove_worker(worker.id)?;
        backend.forget(worker.id);
    }
    Ok(())
}

fn give_back(work: &mut Work<'_>, worker: &WorkerRow, job: &Holding) -> Result<()> {
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
            if let Some(left) = work.tx.finish(&job.fence, &end)? {
                limits::left(work.tx, &left)?;
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
