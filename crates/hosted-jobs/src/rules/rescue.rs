//! The jobs of dead processes: they run again, unless their process has died too often while they ran.

use super::limits;
use crate::commit::UnitOfWork;
use crate::events::JobEventKind;
use crate::state::{Outcome, State};
use crate::store::{Backend, End, PutBack, Result, RunningJob};

/// Gives back the jobs of every dead process. `me` is the worker that asks, and so is alive. A job is dead when its process
/// has died `max_deaths` times while it ran.
pub(crate) fn rescue(work: &mut UnitOfWork<'_>, backend: &dyn Backend, me: i64, max_deaths: u32) -> Result<()> {
    for worker in work.tx.workers()? {
        if worker.id == me || !backend.is_dead(worker.id) {
            continue;
        }
        let started = backend.started_by(worker.id);
        for job in work.tx.running_jobs(worker.id)? {
            // A process that was stopping in order has done nothing wrong, and neither has its job. A job that was only
            // claimed has not done anything.
            let ran = started.as_ref().is_none_or(|started| started.contains(&job.fence.id));
            give_back(work, &job, ran && !worker.stopping, max_deaths)?;
        }
        work.tx.remove_worker(worker.id)?;
        backend.forget(worker.id);
    }
    Ok(())
}

/// `ran`: the process died while the job ran, which counts.
fn give_back(work: &mut UnitOfWork<'_>, job: &RunningJob, ran: bool, max_deaths: u32) -> Result<()> {
    let lost = u32::from(ran);
    let total = job.lost.saturating_add(lost);
    let end = if job.stop_wanted {
        Some(End { lost, ..End::from_outside(Outcome::Cancelled, work.now) })
    } else if lost > 0 && total >= max_deaths {
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
            let what = if ran { JobEventKind::Rescued { lost: total } } else { JobEventKind::HandedBack };
            work.emit(job.fence.id, &job.kind, what);
        }
    }
    work.ring();
    Ok(())
}
