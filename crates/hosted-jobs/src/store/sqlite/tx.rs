//! The steps of a transaction, as statements on a connection: the library's own, or the user's.

use super::convert::{bind_new, claimed, store_error};
use super::sql::Sql;
use crate::state::{Outcome, State};
use crate::store::{
    Advance, ClaimQuery, Claimed, End, Fence, Holder, NewJob, Pause, PutBack, ReleasedPlace, Result, ScheduleRow, Tx,
    WorkerRow,
};
use crate::util::Millis;
use hosted::Clock;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params};

/// A transaction that is open on a connection.
pub(crate) struct SqliteTx<'c> {
    conn: &'c Connection,
    pub(super) sql: &'c Sql,
    pub(super) clock: &'c Clock,
}

impl<'c> SqliteTx<'c> {
    pub(super) fn new(conn: &'c Connection, sql: &'c Sql, clock: &'c Clock) -> Self {
        SqliteTx { conn, sql, clock }
    }

    fn prepare(&self, sql: &str, doing: &'static str) -> Result<CachedStatement<'c>> {
        self.conn.prepare_cached(sql).map_err(|error| store_error(doing, error))
    }

    fn execute(&self, sql: &str, doing: &'static str, params: impl Params) -> Result<usize> {
        self.prepare(sql, doing)?.execute(params).map_err(|error| store_error(doing, error))
    }

    pub(super) fn first<T>(
        &self,
        sql: &str,
        doing: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        self.prepare(sql, doing)?.query_row(params, read).optional().map_err(|error| store_error(doing, error))
    }

    pub(super) fn all<T>(
        &self,
        sql: &str,
        doing: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let mut statement = self.prepare(sql, doing)?;
        let rows = statement.query_map(params, read).and_then(Iterator::collect);
        rows.map_err(|error| store_error(doing, error))
    }

    /// Moves a job from the live table to the finished ones: both statements change one row, or the first none.
    fn move_to_done(
        &self,
        texts: (&str, &str),
        fence: &Fence,
        end: &End,
        whose: impl Params,
    ) -> Result<Option<ReleasedPlace>> {
        let doing = "end a job";
        let copied = self.execute(
            texts.0,
            doing,
            params![
                fence.id,
                fence.claim,
                fence.worker,
                end.outcome as i64,
                end.now,
                end.failed,
                end.lost,
                end.error,
                end.output,
                end.keeps_payload(),
                end.by_worker,
            ],
        )?;
        if copied == 0 {
            return Ok(None);
        }
        self.first(texts.1, doing, whose, |row| Ok(ReleasedPlace { limit_key: row.get(0)? }))
    }
}

impl Tx for SqliteTx<'_> {
    fn insert(&mut self, job: &NewJob) -> Result<Option<i64>> {
        let failed = |error| store_error("store a job", error);
        let mut statement = self.prepare(&self.sql.insert, "store a job")?;
        bind_new(&mut statement, job).map_err(failed)?;
        let mut rows = statement.raw_query();
        let id = rows.next().and_then(|row| row.map(|row| row.get(0)).transpose()).map_err(failed)?;
        // The statement must run to its end, or the row is not inserted.
        while rows.next().map_err(failed)?.is_some() {}
        Ok(id)
    }

    fn unique_holder(&mut self, key: &[u8]) -> Result<Option<Holder>> {
        let row = self.first(&self.sql.unique_holder, "look up a unique key", [key], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?))
        })?;
        // A state that this program does not know counts as running: the safe side, as nothing replaces it.
        Ok(row.map(|(id, state, limit_key)| Holder {
            id,
            state: State::from_number(state).unwrap_or(State::Running),
            limit_key,
        }))
    }

    fn replace(&mut self, id: i64, job: &NewJob) -> Result<bool> {
        let failed = |error| store_error("replace a job", error);
        let mut statement = self.prepare(&self.sql.replace, "replace a job")?;
        bind_new(&mut statement, job).map_err(failed)?;
        statement.raw_bind_parameter(17, id).map_err(failed)?;
        Ok(statement.raw_execute().map_err(failed)? == 1)
    }

    fn take_once(&mut self, key: &[u8], until: Millis, now: Millis) -> Result<bool> {
        Ok(self.execute(&self.sql.take_once, "take a key", params![key, until, now])? == 1)
    }

    fn set_once_job(&mut self, key: &[u8], id: i64) -> Result<()> {
        self.execute(&self.sql.set_once_job, "take a key", params![key, id]).map(drop)
    }

    fn once_job(&mut self, key: &[u8]) -> Result<Option<i64>> {
        Ok(self.first(&self.sql.once_job, "look up a key", [key], |row| row.get(0))?.flatten())
    }

    fn promote_due(&mut self, now: Millis, most: usize) -> Result<usize> {
        self.execute(&self.sql.promote_due, "make due jobs ready", params![now, most as i64])
    }

    fn arrived_keys(&mut self, most: usize) -> Result<Vec<String>> {
        self.all(&self.sql.arrived_keys, "look up limit keys", [most as i64], |row| row.get(0))
    }

    fn hold_arrived(&mut self, key: &str) -> Result<()> {
        self.execute(&self.sql.hold_arrived, "hold jobs", [key]).map(drop)
    }

    fn limit_usage(&mut self, key: &str) -> Result<(u32, Option<u32>)> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        let usage = self.first(&self.sql.limit_usage, "count the jobs of a limit key", [key], read)?;
        Ok(usage.unwrap_or((0, None)))
    }

    fn first_held(&mut self, key: &str) -> Result<Option<(i64, u32)>> {
        self.first(&self.sql.first_held, "look up held jobs", [key], |row| Ok((row.get(0)?, row.get(1)?)))
    }

    fn make_ready(&mut self, id: i64) -> Result<()> {
        self.execute(&self.sql.make_ready, "make a job ready", [id]).map(drop)
    }

    fn ready_queues(&mut self) -> Result<Vec<String>> {
        let mut queues = Vec::new();
        for text in [&self.sql.next_ready_queue, &self.sql.next_suspect_queue] {
            // Each step jumps to the next name in the index, however many jobs have the last one.
            let mut last = None;
            loop {
                let read = |row: &Row<'_>| row.get::<_, Option<String>>(0);
                let after = last.as_deref().unwrap_or("");
                match self.first(text, "look for ready jobs", [after], read)?.flatten() {
                    Some(queue) => {
                        queues.push(queue.clone());
                        last = Some(queue);
                    }
                    None => break,
                }
            }
        }
        queues.sort();
        queues.dedup();
        Ok(queues)
    }

    fn claim(&mut self, query: &ClaimQuery<'_>) -> Result<Vec<Claimed>> {
        let failed = |error| store_error("claim jobs", error);
        if query.kinds.is_empty() || query.most == 0 {
            return Ok(Vec::new());
        }
        let text = self.sql.claim(query.kinds.len(), query.suspects);
        let mut statement = self.prepare(&text, "claim jobs")?;
        let bind = |statement: &mut rusqlite::Statement<'_>| -> rusqlite::Result<()> {
            statement.raw_bind_parameter(1, query.worker)?;
            statement.raw_bind_parameter(2, query.now)?;
            statement.raw_bind_parameter(3, query.queue)?;
            statement.raw_bind_parameter(4, query.most as i64)?;
            for (n, kind) in query.kinds.iter().enumerate() {
                statement.raw_bind_parameter(5 + 2 * n, &kind.kind)?;
                statement.raw_bind_parameter(6 + 2 * n, kind.version)?;
            }
            Ok(())
        };
        bind(&mut statement).map_err(failed)?;
        let mut rows = statement.raw_query();
        let mut jobs = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            jobs.push(claimed(row).map_err(failed)?);
        }
        // RETURNING promises no order.
        jobs.sort_by_key(|job| (job.priority, job.fence.id));
        Ok(jobs)
    }

    fn holds_claim(&mut self, fence: &Fence) -> Result<bool> {
        let params = [fence.id, fence.claim, fence.worker];
        Ok(self.first(&self.sql.holds_claim, "check a claim", params, |_| Ok(()))?.is_some())
    }

    fn set_progress(&mut self, fence: &Fence, progress: &[u8]) -> Result<bool> {
        let params = params![fence.id, fence.claim, fence.worker, progress];
        Ok(self.execute(&self.sql.set_progress, "store a checkpoint", params)? == 1)
    }

    fn finish(&mut self, fence: &Fence, end: &End) -> Result<Option<ReleasedPlace>> {
        let texts = (&*self.sql.copy_finished, &*self.sql.delete_finished_live);
        self.move_to_done(texts, fence, end, [fence.id, fence.claim, fence.worker])
    }

    fn cancel_requested(&mut self, fence: &Fence) -> Result<bool> {
        let params = [fence.id, fence.claim, fence.worker];
        let wanted = self.first(&self.sql.cancel_requested, "check a claim", params, |row| row.get(0))?;
        Ok(wanted.unwrap_or(false))
    }

    fn put_back(&mut self, fence: &Fence, how: &PutBack) -> Result<Option<ReleasedPlace>> {
        let state = how.state as i64;
        let params = params![fence.id, fence.claim, fence.worker, state, how.run_at, how.failed, how.lost, how.error];
        self.first(&self.sql.put_back, "put a job back", params, |row| Ok(ReleasedPlace { limit_key: row.get(0)? }))
    }

    fn finished_by(&mut self, fence: &Fence) -> Result<bool> {
        let params = [fence.id, fence.claim, fence.worker];
        Ok(self.first(&self.sql.finished_by, "look up a finished job", params, |_| Ok(()))?.is_some())
    }

    fn finish_waiting(&mut self, id: i64, end: &End) -> Result<Option<ReleasedPlace>> {
        let nobody = Fence { id, claim: 0, worker: 0 };
        self.move_to_done((&*self.sql.copy_waiting, &*self.sql.delete_waiting), &nobody, end, [id])
    }

    fn request_cancel(&mut self, id: i64) -> Result<bool> {
        Ok(self.execute(&self.sql.request_cancel, "cancel a job", [id])? == 1)
    }

    fn revive(&mut self, id: i64, now: Millis) -> Result<bool> {
        let doing = "retry a job";
        let revived = self.execute(&self.sql.revive, doing, [id, now])? == 1;
        if revived {
            self.execute(&self.sql.delete_finished, doing, [id])?;
        }
        Ok(revived)
    }

    fn delete_finished(&mut self, id: i64) -> Result<bool> {
        Ok(self.execute(&self.sql.delete_finished, "delete a job", [id])? == 1)
    }

    fn set_pause(&mut self, pause: &Pause, paused: bool) -> Result<()> {
        let (what, name) = match pause {
            Pause::Queue(name) => ("queue", name),
            Pause::Kind(name) => ("kind", name),
        };
        let sql = if paused { &self.sql.pause } else { &self.sql.unpause };
        self.execute(sql, "pause", [what, name]).map(drop)
    }

    fn add_worker(&mut self, worker: &WorkerRow) -> Result<()> {
        let params = params![worker.id, worker.pid, worker.host, worker.started_at, worker.kinds, worker.stopping];
        self.execute(&self.sql.add_worker, "register this process", params).map(drop)
    }

    fn remove_worker(&mut self, id: i64) -> Result<()> {
        self.execute(&self.sql.remove_worker, "remove a process", [id]).map(drop)
    }

    fn mark_stopping(&mut self, id: i64) -> Result<()> {
        self.execute(&self.sql.mark_stopping, "register the stop", [id]).map(drop)
    }

    fn put_schedule(&mut self, row: &ScheduleRow) -> Result<()> {
        let params = params![
            row.name,
            row.program,
            row.spec,
            row.misfire,
            row.template,
            row.payload,
            row.next_at,
            row.last_at,
            row.missed,
            row.paused,
            row.error,
        ];
        self.execute(&self.sql.put_schedule, "store a recurring job", params).map(drop)
    }

    fn delete_schedule(&mut self, name: &str) -> Result<()> {
        self.execute(&self.sql.delete_schedule, "delete a recurring job", [name]).map(drop)
    }

    fn advance_schedule(&mut self, name: &str, step: &Advance) -> Result<bool> {
        let params = params![name, step.seen, step.next_at, step.last_at, step.missed];
        Ok(self.execute(&self.sql.advance_schedule, "advance a recurring job", params)? == 1)
    }

    fn set_schedule_missed(&mut self, name: &str, missed: u32) -> Result<()> {
        self.execute(&self.sql.schedule_missed, "store the missed times", params![name, missed]).map(drop)
    }

    fn set_schedule_error(&mut self, name: &str, error: Option<&str>) -> Result<()> {
        self.execute(&self.sql.schedule_error, "store the error of a recurring job", params![name, error]).map(drop)
    }

    fn set_schedule_paused(&mut self, name: &str, paused: bool, next_at: Option<Millis>) -> Result<bool> {
        let params = params![name, paused, next_at];
        Ok(self.execute(&self.sql.schedule_paused, "pause a recurring job", params)? == 1)
    }

    fn set_meta(&mut self, key: &str, value: &str) -> Result<()> {
        self.execute(&self.sql.set_meta, "store a setting", [key, value]).map(drop)
    }

    fn prune(&mut self, outcome: Outcome, before: Millis, most: usize) -> Result<usize> {
        self.execute(&self.sql.prune, "delete old jobs", params![outcome as i64, before, most as i64])
    }

    fn prune_once(&mut self, now: Millis, most: usize) -> Result<usize> {
        self.execute(&self.sql.prune_once, "delete old keys", params![now, most as i64])
    }
}
