//! A thread that runs jobs.

use super::pool::Pool;
use crate::commit::CommitMode;
use crate::context::Run;
use crate::events::JobEventKind;
use crate::execute::execute;
use crate::rules::{CompletedRun, record_result};
use crate::store::Claimed;
use hosted::{Context, Result, Service};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the thread itself tries to write a result after the writer has returned.
const LATE_RESULT: Duration = Duration::from_secs(1);

pub(super) struct JobThread {
    pool: Arc<Pool>,
    /// Its number among the threads of the pool, from 0.
    number: usize,
}

impl JobThread {
    pub(super) fn new(pool: Arc<Pool>, number: usize) -> Self {
        JobThread { pool, number }
    }

    /// Runs a job. The token of `jobs_ctx` stops shortly before the stop deadline, and follows it if it moves.
    fn run_job(&self, job: Claimed, jobs_ctx: &Context) {
        let (pool, job) = (&self.pool, Arc::new(job));
        let timeout = pool.handlers.handler(&job.kind).and_then(|handler| handler.options.timeout);
        let run = Run::new(job.fence, timeout, jobs_ctx.stop_token());
        pool.begin(&run);
        pool.core.emit(job.fence.id, &job.kind, JobEventKind::Started);
        let began = Instant::now();
        pool.mark_started(self.number, Some(job.fence.id));
        let result = execute(&pool.core, &pool.handlers, jobs_ctx, &job, &run);
        pool.mark_started(self.number, None);
        if let Some(late) = pool.end(result, job.lost > 0, began.elapsed()) {
            self.write_late(late);
        }
    }

    /// The writer has returned, and this job came back after all.
    fn write_late(&self, late: CompletedRun) {
        let id = late.fence.id;
        let mode = CommitMode { durable: true, give_up: Some(Instant::now() + LATE_RESULT) };
        if let Err(error) = self.pool.core.write(mode, move |work| record_result(work, &late)) {
            log::warn!(
                target: "hosted_jobs::worker",
                "the result of job {id} came after the stop and is lost; the job will run again: {error}"
            );
        }
    }
}

impl Service for JobThread {
    fn run(&mut self, ctx: &Context) -> Result {
        let pool = self.pool.clone();
        // At once, even if this thread is in a job: what no thread has started is given back.
        let _closes = ctx.on_stop(move || pool.close());
        let jobs_ctx = ctx.for_job();
        while let Ok(job) = ctx.recv(self.pool.ready()) {
            self.run_job(job, &jobs_ctx);
        }
        // The callback runs on another thread, and not at all if this one returns first.
        self.pool.close();
        Ok(())
    }
}
