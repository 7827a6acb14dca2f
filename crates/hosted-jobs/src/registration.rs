//! A worker of this process in the store: a row with the kinds that it handles, and a lock that shows that it lives.

use crate::commit::{CommitMode, UnitOfWork};
use crate::core::Core;
use crate::handlers::Handlers;
use crate::rules::{CompletedRun, record_result, rescue};
use crate::state::State;
use crate::store::{Life, PutBack, Result, WorkerRow};
use crate::util::random;
use std::sync::Arc;
use std::time::Instant;

/// A worker that is known to the store. Dropping it without [`sign_off`](Self::sign_off) is like the death of the
/// process: others rescue its jobs.
pub(crate) struct Registration {
    id: i64,
    life: Arc<dyn Life>,
}

impl Registration {
    /// Registers a new worker. The lock is taken first, so a row without a held lock is a dead worker's.
    pub(crate) fn new(core: &Core, handlers: &Handlers, threads: usize) -> Result<Self> {
        // Random, and so never used again: a restarted process is a new worker.
        let id = i64::try_from(random() >> 1).unwrap_or(1).max(1);
        let life = core.backend.announce(id, threads)?;
        let (kinds, backend) = (handlers.kinds_text(), core.backend.clone());
        let max_deaths = core.settings.max_deaths;
        core.write(CommitMode::DURABLE, move |work| {
            let row = WorkerRow {
                id,
                pid: std::process::id(),
                host: host_name(),
                started_at: work.now,
                kinds: kinds.clone(),
                stopping: false,
            };
            work.tx.add_worker(&row)?;
            rescue(work, &*backend, id, max_deaths)
        })?;
        Ok(Registration { id, life })
    }

    pub(crate) fn life(&self) -> Arc<dyn Life> {
        self.life.clone()
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// Writes the last results, and removes the worker if it holds nothing any more.
    ///
    /// If a job still runs, the worker stays, marked as stopping: its claim holds as long as the process lives, and
    /// costs the job nothing afterwards. If the store does not answer, nothing is lost: other processes see the lock.
    pub(crate) fn sign_off(self, core: &Core, results: Vec<CompletedRun>, running: bool, give_up: Option<Instant>) {
        let id = self.id;
        let last = move |work: &mut UnitOfWork<'_>| {
            for result in &results {
                record_result(work, result)?;
            }
            if running {
                work.tx.mark_stopping(id)?;
                return Ok(true);
            }
            for job in work.tx.running_jobs(id)? {
                // No thread knows of it: the answer to its claim was lost.
                let how = PutBack { state: State::Ready, run_at: None, failed: 0, lost: 0, error: None };
                work.tx.put_back(&job.fence, &how)?;
            }
            work.tx.remove_worker(id)?;
            Ok(false)
        };
        match core.write(CommitMode { durable: true, give_up }, last) {
            Ok(false) => {
                core.backend.forget(id);
                drop(self.life);
            }
            Ok(true) => core.keep(self.life),
            Err(error) => {
                log::warn!(
                    target: "hosted_jobs::store",
                    "cannot write the last results before the stop; their jobs will run again: {error}"
                );
                // While a thread runs a job, nobody else may take it.
                if running {
                    core.keep(self.life);
                }
            }
        }
    }
}

/// The name of this machine, for people. Empty if it is not known.
fn host_name() -> String {
    #[cfg(target_os = "linux")]
    if let Ok(name) = std::fs::read_to_string("/proc/sys/kernel/hostname") {
        return name.trim().to_owned();
    }
    std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")).unwrap_or_default()
}
