//! What people do with a store: status, cancel, retry, pause, prune.

use crate::commit::CommitMode;
use crate::error::StoreError;
use crate::events::JobEventKind;
use crate::info::{Filter, JobInfo, Stats, WorkerInfo};
use crate::jobs::Jobs;
use crate::rules::{Cancelling, PRUNE_PAUSE, cancel, next_after, prune};
use crate::state::Outcome;
use crate::store::{Pause, WorkerRow};
use crate::util::from_millis;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// A recurring job, as the store knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// The name.
    pub name: String,
    /// The schedule: a cron expression with its time zone, or `@every` and milliseconds.
    pub schedule: String,
    /// The program that declared it.
    pub program: String,
    /// When it is due next. `None`: never again.
    pub next_at: Option<SystemTime>,
    /// The due time of its last job.
    pub last_at: Option<SystemTime>,
    /// Due times that made no job, and that no job has counted in `missed` yet.
    pub missed: u32,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it does not fire.
    pub error: Option<String>,
}

impl Jobs {
    /// Returns the recurring jobs, by name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn schedules(&self) -> Result<Vec<ScheduleInfo>, StoreError> {
        let rows = self.core.read(|tx| tx.schedules())?;
        let info = |row: crate::store::ScheduleRow| ScheduleInfo {
            name: row.name,
            schedule: row.spec,
            program: row.program,
            next_at: row.next_at.map(from_millis),
            last_at: row.last_at.map(from_millis),
            missed: row.missed,
            paused: row.paused,
            error: row.error,
        };
        Ok(rows.into_iter().map(info).collect())
    }

    /// Pauses a recurring job. Returns `false` if there is none of that name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn pause_schedule(&self, name: &str) -> Result<bool, StoreError> {
        self.set_schedule_paused(name, true)
    }

    /// Lets a recurring job go on, from now: due times that passed meanwhile make no job. Returns `false` if there is
    /// none of that name.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn resume_schedule(&self, name: &str) -> Result<bool, StoreError> {
        self.set_schedule_paused(name, false)
    }

    fn set_schedule_paused(&self, name: &str, paused: bool) -> Result<bool, StoreError> {
        let name = name.to_owned();
        self.core.write(CommitMode::DURABLE, move |work| {
            let Some(row) = work.tx.schedules()?.into_iter().find(|row| row.name == name) else { return Ok(false) };
            let next =
                if row.paused && !paused { next_after(&row.spec, work.now).unwrap_or(None) } else { row.next_at };
            work.ring();
            work.tx.set_schedule_paused(&name, paused, next)
        })
    }

    /// Returns what the store knows of a job. Returns `None` if there is none, or if it was deleted after its end.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn get(&self, id: i64) -> Result<Option<JobInfo>, StoreError> {
        self.core.read(|tx| tx.job(id))
    }

    /// Returns the jobs that a filter selects, by id.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn list(&self, filter: &Filter) -> Result<Vec<JobInfo>, StoreError> {
        self.core.read(|tx| tx.jobs(filter))
    }

    /// Returns the state of queues, processes and kinds.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        self.core.read(|tx| {
            let workers: Vec<WorkerInfo> = tx.workers()?.into_iter().map(worker_info).collect();
            let mut unhandled = tx.waiting_kinds()?;
            let handles = |worker: &WorkerInfo, kind: &str, version: u32| {
                worker.kinds.iter().any(|(name, newest)| name == kind && *newest >= version)
            };
            unhandled.retain(|waiting| !workers.iter().any(|worker| handles(worker, &waiting.kind, waiting.version)));
            let paused = tx.pauses()?.into_iter().filter_map(|pause| match pause {
                Pause::Kind(kind) => Some(kind),
                Pause::Queue(_) => None,
            });
            Ok(Stats {
                queues: tx.queue_stats()?,
                dead: tx.finished_count(Outcome::Dead)?,
                succeeded: tx.finished_count(Outcome::Succeeded)?,
                cancelled: tx.finished_count(Outcome::Cancelled)?,
                workers,
                unhandled,
                paused_kinds: paused.collect(),
            })
        })
    }

    /// Cancels a job. A waiting job ends at once. The stop token of a running job is stopped within a second, in any
    /// process, and the job does not run again.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn cancel(&self, id: i64) -> Result<Cancelling, StoreError> {
        let cancelling = self.core.write(CommitMode::DURABLE, move |work| cancel(work, id))?;
        if cancelling == Cancelling::Requested {
            self.core.cancels.fetch_add(1, Ordering::Release);
            self.ring();
        }
        Ok(cancelling)
    }

    /// Makes a dead or cancelled job live again, as new: without failures, under the same id. Returns `false` if there
    /// is none of that id.
    ///
    /// Its unique key is not taken again.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn retry(&self, id: i64) -> Result<bool, StoreError> {
        self.core.write(CommitMode::DURABLE, move |work| {
            let kind = work.tx.job(id)?.map(|job| job.kind).unwrap_or_default();
            let revived = work.tx.revive(id, work.now)?;
            if revived {
                work.emit(id, &kind, JobEventKind::Revived);
                work.ring();
            }
            Ok(revived)
        })
    }

    /// Deletes a finished job. Returns `false` if there is none of that id.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn delete(&self, id: i64) -> Result<bool, StoreError> {
        self.core.write(CommitMode::DURABLE, move |work| work.tx.delete_finished(id))
    }

    /// Pauses a queue: within a second no process starts a job of it any more. What runs, runs on.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn pause(&self, queue: &str) -> Result<(), StoreError> {
        self.set_pause(Pause::Queue(queue.to_owned()), true)
    }

    /// Lets a paused queue go on.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn resume(&self, queue: &str) -> Result<(), StoreError> {
        self.set_pause(Pause::Queue(queue.to_owned()), false)
    }

    /// Pauses a kind of job: within a second no process starts a job of it any more. What runs, runs on.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn pause_kind(&self, kind: &str) -> Result<(), StoreError> {
        self.set_pause(Pause::Kind(kind.to_owned()), true)
    }

    /// Lets a paused kind go on.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn resume_kind(&self, kind: &str) -> Result<(), StoreError> {
        self.set_pause(Pause::Kind(kind.to_owned()), false)
    }

    fn set_pause(&self, pause: Pause, paused: bool) -> Result<(), StoreError> {
        self.core.write(CommitMode::DURABLE, move |work| {
            work.ring();
            work.tx.set_pause(&pause, paused)
        })
    }

    /// Deletes finished jobs that are older than the store keeps them. Workers do this by themselves. Returns how many
    /// jobs were deleted.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub fn prune(&self) -> Result<usize, StoreError> {
        let keep = self.core.settings.retention;
        let mut pruned = 0;
        loop {
            let (number, more) =
                self.core.write(CommitMode { durable: false, give_up: None }, move |work| prune(work, &keep))?;
            pruned += number;
            if !more {
                return Ok(pruned);
            }
            std::thread::sleep(PRUNE_PAUSE);
        }
    }
}

fn worker_info(row: WorkerRow) -> WorkerInfo {
    WorkerInfo {
        id: row.id,
        pid: row.pid,
        host: row.host,
        // A text that cannot be read is a newer program's: its kinds are not known here.
        kinds: serde_json::from_str(&row.kinds).unwrap_or_default(),
        stopping: row.stopping,
        started_at: row.started_at,
    }
}
