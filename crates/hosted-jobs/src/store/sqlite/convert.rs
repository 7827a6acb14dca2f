//! Between the rows of SQLite and the values of the library.

use crate::error::{StoreError, StoreErrorKind};
use crate::info::{JobInfo, JobState};
use crate::state::{Outcome, State};
use crate::store::{Claimed, Fence, NewJob, Occurrence, RunningJob, ScheduleRow};
use rusqlite::types::Type;
use rusqlite::{Error, ErrorCode, Row, ffi};

/// Says what was being done when SQLite failed.
pub(super) fn store_error(doing: &'static str, error: Error) -> StoreError {
    let kind = match &error {
        Error::SqliteFailure(failure, _) if failure.extended_code == ffi::SQLITE_BUSY_SNAPSHOT => {
            StoreErrorKind::ReadFirst
        }
        Error::SqliteFailure(failure, _) if is_busy_code(failure.code) => {
            StoreErrorKind::Busy(std::time::Duration::ZERO)
        }
        _ => StoreErrorKind::Failed(doing),
    };
    StoreError::new(kind).with_source(error)
}

/// Whether another connection holds a lock that `error` needed.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(error, Error::SqliteFailure(failure, _) if is_busy_code(failure.code))
}

fn is_busy_code(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
}

/// The columns of a claimed job, in the order in which [`claimed`] reads them.
pub(super) const CLAIMED: &str = "id, claim, worker, queue, kind, version, priority, failed, lost, max_failed, \
     created_at, payload, schedule, due_at, missed";

pub(super) fn claimed(row: &Row<'_>) -> rusqlite::Result<Claimed> {
    Ok(Claimed {
        fence: Fence { id: row.get(0)?, claim: row.get(1)?, worker: row.get(2)? },
        queue: row.get(3)?,
        kind: row.get(4)?,
        version: row.get(5)?,
        priority: row.get(6)?,
        failed: row.get(7)?,
        lost: row.get(8)?,
        max_failures: row.get(9)?,
        created_at: row.get(10)?,
        payload: row.get(11)?,
        occurrence: match row.get::<_, Option<String>>(12)? {
            Some(schedule) => Some(Occurrence { schedule, due_at: row.get(13)?, missed: row.get(14)? }),
            None => None,
        },
    })
}

/// The columns of a held job, in the order in which [`holding`] reads them.
pub(super) const RUNNING: &str = "id, claim, worker, kind, lost, stop_wanted";

pub(super) fn running_job(row: &Row<'_>) -> rusqlite::Result<RunningJob> {
    Ok(RunningJob {
        fence: Fence { id: row.get(0)?, claim: row.get(1)?, worker: row.get(2)? },
        kind: row.get(3)?,
        lost: row.get(4)?,
        stop_wanted: row.get(5)?,
    })
}

/// The columns of a live job, in the order in which [`live_info`] reads them.
pub(super) const LIVE: &str = "id, kind, version, queue, priority, state, failed, max_failed, lost, claim, worker, \
     limit_key, schedule, error, payload, progress, created_at, run_at, started_at, due_at";

pub(super) fn live_info(row: &Row<'_>) -> rusqlite::Result<JobInfo> {
    let number: i64 = row.get(5)?;
    let state = State::from_number(number).ok_or_else(|| unknown(5, number))?;
    Ok(JobInfo {
        state: JobState::from(state),
        worker: row.get(10)?,
        run_at: row.get(17)?,
        output: None,
        finished_at: None,
        ..common(row)?
    })
}

/// The columns of a finished job, in the order in which [`finished_info`] reads them.
pub(super) const FINISHED: &str = "id, kind, version, queue, priority, outcome, failed, max_failed, lost, claim, \
     output, limit_key, schedule, error, payload, progress, created_at, finished_at, started_at, due_at";

pub(super) fn finished_info(row: &Row<'_>) -> rusqlite::Result<JobInfo> {
    let number: i64 = row.get(5)?;
    let outcome = Outcome::from_number(number).ok_or_else(|| unknown(5, number))?;
    Ok(JobInfo { state: JobState::Finished(outcome), output: row.get(10)?, finished_at: row.get(17)?, ..common(row)? })
}

/// What live and finished jobs have in the same columns.
fn common(row: &Row<'_>) -> rusqlite::Result<JobInfo> {
    Ok(JobInfo {
        id: row.get(0)?,
        kind: row.get(1)?,
        version: row.get(2)?,
        queue: row.get(3)?,
        priority: row.get(4)?,
        state: JobState::Ready,
        failures: row.get(6)?,
        max_failures: row.get(7)?,
        lost: row.get(8)?,
        claims: row.get(9)?,
        worker: None,
        limit_key: row.get(11)?,
        schedule: row.get(12)?,
        error: row.get(13)?,
        payload: row.get(14)?,
        progress: row.get(15)?,
        output: None,
        created_at: row.get(16)?,
        run_at: None,
        started_at: row.get(18)?,
        finished_at: None,
        due_at: row.get(19)?,
    })
}

/// The columns of a schedule, in the order in which [`schedule`] reads them.
pub(super) const SCHEDULE: &str =
    "name, program, spec, misfire, template, payload, next_at, last_at, missed, paused, error";

pub(super) fn schedule(row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
    Ok(ScheduleRow {
        name: row.get(0)?,
        program: row.get(1)?,
        spec: row.get(2)?,
        misfire: row.get(3)?,
        template: row.get(4)?,
        payload: row.get(5)?,
        next_at: row.get(6)?,
        last_at: row.get(7)?,
        missed: row.get(8)?,
        paused: row.get(9)?,
        error: row.get(10)?,
    })
}

fn unknown(column: usize, number: i64) -> Error {
    Error::FromSqlConversionFailure(column, Type::Integer, format!("unknown state {number}").into())
}

/// Binds everything of a new job, in the order of the columns of `Sql::insert`.
pub(super) fn bind_new(statement: &mut rusqlite::Statement<'_>, job: &NewJob) -> rusqlite::Result<()> {
    let unique = job.unique.as_ref();
    let (limit, occurrence) = (job.limit.as_ref(), job.occurrence.as_ref());
    statement.raw_bind_parameter(1, &job.queue)?;
    statement.raw_bind_parameter(2, &job.kind)?;
    statement.raw_bind_parameter(3, job.version)?;
    statement.raw_bind_parameter(4, job.state as i64)?;
    statement.raw_bind_parameter(5, job.priority)?;
    statement.raw_bind_parameter(6, job.run_at)?;
    statement.raw_bind_parameter(7, job.created_at)?;
    statement.raw_bind_parameter(8, job.max_failures)?;
    statement.raw_bind_parameter(9, unique.map(|unique| &unique.key))?;
    statement.raw_bind_parameter(10, unique.is_some_and(|unique| unique.until_finished))?;
    statement.raw_bind_parameter(11, limit.map(|limit| &limit.key))?;
    statement.raw_bind_parameter(12, limit.map(|limit| limit.most))?;
    statement.raw_bind_parameter(13, occurrence.map(|occurrence| &occurrence.schedule))?;
    statement.raw_bind_parameter(14, occurrence.map(|occurrence| occurrence.due_at))?;
    statement.raw_bind_parameter(15, occurrence.map_or(0, |occurrence| occurrence.missed))?;
    statement.raw_bind_parameter(16, &job.payload)
}
