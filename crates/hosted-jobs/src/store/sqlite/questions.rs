//! The questions of a transaction, as statements.

use super::convert::{finished_info, live_info, running_job, schedule};
use super::tx::SqliteTx;
use crate::info::{Filter, JobInfo, QueueStats, WaitingKind};
use crate::state::{Outcome, State};
use crate::store::{Pause, ReadTx, Result, RunningJob, ScheduleRow, WorkerRow};
use crate::util::{Millis, to_millis};
use rusqlite::{Row, params};
use std::collections::BTreeMap;

impl ReadTx for SqliteTx<'_> {
    fn now(&mut self) -> Result<Millis> {
        Ok(to_millis(self.clock.system_time()))
    }

    fn pauses(&mut self) -> Result<Vec<Pause>> {
        self.all(&self.sql.pauses, "read what is paused", [], |row| {
            let (what, name): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(if what == "kind" { Pause::Kind(name) } else { Pause::Queue(name) })
        })
    }

    fn next_run_at(&mut self) -> Result<Option<Millis>> {
        Ok(self.first(&self.sql.next_run_at, "read the next due time", [], |row| row.get(0))?.flatten())
    }

    fn next_schedule_at(&mut self) -> Result<Option<Millis>> {
        Ok(self.first(&self.sql.next_schedule_at, "read the next due time", [], |row| row.get(0))?.flatten())
    }

    fn workers(&mut self) -> Result<Vec<WorkerRow>> {
        self.all(&self.sql.workers, "read the workers", [], |row| {
            Ok(WorkerRow {
                id: row.get(0)?,
                pid: row.get(1)?,
                host: row.get(2)?,
                started_at: row.get(3)?,
                kinds: row.get(4)?,
                stopping: row.get(5)?,
            })
        })
    }

    fn running_jobs(&mut self, worker: i64) -> Result<Vec<RunningJob>> {
        self.all(&self.sql.running_jobs, "read the jobs of a worker", [worker], running_job)
    }

    fn others_run_jobs(&mut self, worker: i64) -> Result<bool> {
        let found = self.first(&self.sql.others_run_jobs, "look for running jobs", [worker], |row| row.get(0))?;
        Ok(found.unwrap_or(false))
    }

    fn schedules(&mut self) -> Result<Vec<ScheduleRow>> {
        self.all(&self.sql.schedules, "read the recurring jobs", [], schedule)
    }

    fn meta(&mut self, key: &str) -> Result<Option<String>> {
        self.first(&self.sql.meta, "read a setting", [key], |row| row.get(0))
    }

    fn job(&mut self, id: i64) -> Result<Option<JobInfo>> {
        let doing = "read a job";
        match self.first(&self.sql.live_job, doing, [id], live_info)? {
            Some(job) => Ok(Some(job)),
            None => self.first(&self.sql.finished_job, doing, [id], finished_info),
        }
    }

    fn jobs(&mut self, filter: &Filter) -> Result<Vec<JobInfo>> {
        let doing = "list jobs";
        let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
        match filter.outcome {
            Some(outcome) => {
                let params = params![filter.after, limit, filter.queue, filter.kind, outcome as i64];
                self.all(&self.sql.finished_jobs(), doing, params, finished_info)
            }
            None => {
                let states: Vec<i64> = filter.states.iter().map(|state| *state as i64).collect();
                let params = params![filter.after, limit, filter.queue, filter.kind];
                self.all(&self.sql.live_jobs(&states), doing, params, live_info)
            }
        }
    }

    fn queue_stats(&mut self) -> Result<Vec<QueueStats>> {
        type Counted = (String, i64, u64, Option<Millis>, Option<Millis>);
        let mut queues: BTreeMap<String, QueueStats> = BTreeMap::new();
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, number(row, 2)?, row.get(3)?, row.get(4)?));
        let counted: Vec<Counted> = self.all(&self.sql.queue_counts, "count jobs", [], read)?;
        for (name, state, count, oldest, next_due) in counted {
            let queue = queues.entry(name).or_default();
            let Some(state) = State::from_number(state) else { continue };
            *queue.count(state) += count;
            match state {
                State::Ready => queue.oldest_ready = queue.oldest_ready.into_iter().chain(oldest).min(),
                State::Scheduled => queue.next_due = next_due,
                State::Running | State::Held | State::Arrived => {}
            }
        }
        for pause in self.pauses()? {
            if let Pause::Queue(name) = pause {
                queues.entry(name).or_default().paused = true;
            }
        }
        Ok(queues.into_iter().map(|(name, queue)| QueueStats { name, ..queue }).collect())
    }

    fn waiting_kinds(&mut self) -> Result<Vec<WaitingKind>> {
        self.all(&self.sql.waiting_kinds, "count jobs", [], |row| {
            Ok(WaitingKind { kind: row.get(0)?, version: row.get(1)?, ready: number(row, 2)? })
        })
    }

    fn finished_count(&mut self, outcome: Outcome) -> Result<u64> {
        let count = self.first(&self.sql.finished_count, "count jobs", [outcome as i64], |row| number(row, 0))?;
        Ok(count.unwrap_or(0))
    }
}

/// Reads a count, which is never negative.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::unsigned_abs)
}
