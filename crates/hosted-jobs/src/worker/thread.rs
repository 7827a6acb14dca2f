//! A thread that runs jobs.

use super::pool::Pool;
use crate::commit::CommitMode;
use crate::context::Run;
use crate::events::JobEventKind;
use crate::execute::execute;
use crate::rules::{Settlement, settle};
use crate::store::Claimed;
use hosted::{Context, Result, Service};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Before the deadline of a stop, a job's token is stopped: this part of the time that is left is for handing it back.
const HAND_BACK_PART: u32 = 10;
const HAND_BACK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// How long the thread itself tries to write a result after the writer has returned.
const LATE_RESULT: Duration = Duration::from_secs(1);

pub(super) struct Thread {
    pool: Arc<Pool>,
}

impl Thread {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Thread { pool }
    }

    fn run_job(&self, job: Claimed, ctx: &Context) {
        let (pool, job) = (&self.pool, Arc::new(job));
        let timeout = pool.handlers.handler(&job.kind).and_then(|handler| handler.options.timeout);
        let run = Run::new(job.fence, timeout);
        pool.begin(&run);
        pool.core.emit(job.fence.id, &job.kind, JobEventKind::Started);
        let began = Instant::now();
        let result = {
            let (asked, service) = (run.clone(), ctx.clone());
            let _on_stop = ctx.on_stop(move || {
                if let Some(at) = token_deadline(service.stop_deadline()) {
                    asked.host_stops_at(at);
                }
            });
            execute(&pool.core, &pool.handlers, ctx, &job, &run)
        };
        if let Some(late) = pool.end(result, job.lost > 0, began.elapsed()) {
            self.write_late(late);
        }
    }

    /// The writer has returned, and this job came back after all.
    fn write_late(&self, late: Settlement) {
        let id = late.fence.id;
        let mode = CommitMode { durable: true, give_up: Some(Instant::now() + LATE_RESULT) };
        if let Err(error) = self.pool.core.write(mode, move |work| settle(work, &late)) {
            log::warn!(
                target: "hosted_jobs::worker",
                "the result of job {id} came after the stop and is lost; the job will run again: {error}"
            );
        }
    }
}

/// When the token of a job is stopped, if its service should have stopped at `deadline`.
fn token_deadline(deadline: Option<Instant>) -> Option<Instant> {
    let deadline = deadline?;
    let left = deadline.saturating_duration_since(Instant::now());
    let hand_back = (left / HAND_BACK_PART).clamp(HAND_BACK.0, HAND_BACK.1);
    // A deadline that is nearer than that: at once.
    Some(deadline.checked_sub(hand_back.min(left)).unwrap_or(deadline))
}

impl Service for Thread {
    fn run(&mut self, ctx: &Context) -> Result {
        let pool = self.pool.clone();
        // At once, even if this thread is in a job: what no thread has started is given back.
        let _closes = ctx.on_stop(move || pool.close());
        while let Ok(job) = ctx.recv(self.pool.ready()) {
            self.run_job(job, ctx);
        }
        // The callback runs on another thread, and not at all if this one returns first.
        self.pool.close();
        Ok(())
    }
}
