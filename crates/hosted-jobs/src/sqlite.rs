//! What only a store in SQLite offers: the user's own transactions, on both sides of a job.

use crate::commit::UnitOfWork;
use crate::context::{JobContext, encode};
use crate::core::Core;
use crate::enqueue::{Enqueue, Enqueued};
use crate::error::{EnqueueError, RunError, StoreError, StoreErrorKind};
use crate::rules::{CompletedRun, Recorded, RunResult, UniqueRequest, enqueue, new_job, record_result};
use crate::statement::{Statement, Value};
use crate::store::sqlite::{OpenTransaction, SqliteStore};
use crate::store::{ReadTx, Result, Tx};
use rusqlite::{Connection, Savepoint, Transaction};
use serde::Serialize;
use std::fmt;
use std::ops::Deref;

/// A connection or transaction of the user's own, in which a job is to be stored.
///
/// Implemented for references to a [`rusqlite::Connection`], [`rusqlite::Transaction`], [`rusqlite::Savepoint`] and
/// [`JobTransaction`].
pub trait EnqueueTarget: private::Sealed {
    /// Returns the connection.
    #[doc(hidden)]
    fn connection(&self) -> &Connection;
}

mod private {
    pub trait Sealed {}
}

macro_rules! target {
    ($($type:ty),*) => {$(
        impl private::Sealed for $type {}
        impl EnqueueTarget for $type {
            fn connection(&self) -> &Connection {
                self
            }
        }
    )*};
}

target!(&Connection, &mut Connection, &Transaction<'_>, &mut Transaction<'_>, &Savepoint<'_>, &mut Savepoint<'_>);
target!(&JobTransaction<'_>, &mut JobTransaction<'_>);

/// The store of `core`, if it is one in SQLite.
fn store(core: &Core) -> Result<&SqliteStore> {
    let unsupported = || StoreError::new(StoreErrorKind::Unsupported("transactions of your own"));
    core.backend.as_any().downcast_ref().ok_or_else(unsupported)
}

/// Runs the steps of the library on the user's connection: all of them, or none.
fn on_connection<R>(
    core: &Core,
    conn: &Connection,
    mut steps: impl FnMut(&mut UnitOfWork<'_>) -> Result<R>,
) -> Result<R> {
    let failed = |error| StoreError::failed("use a savepoint", error);
    let mut tx = store(core)?.on(conn);
    let now = tx.now()?;
    conn.execute_batch("SAVEPOINT hosted_jobs").map_err(failed)?;
    // The commit is the user's, and unknown to the library: no event, no bell.
    let (mut events, mut ring) = (Vec::new(), false);
    let result = steps(&mut UnitOfWork::new(&mut tx, now, &mut events, &mut ring));
    let end = if result.is_ok() { "RELEASE hosted_jobs" } else { "ROLLBACK TO hosted_jobs; RELEASE hosted_jobs" };
    let ended = conn.execute_batch(end);
    let result = result?;
    ended.map_err(failed)?;
    Ok(result)
}

pub(crate) fn enqueue_on(core: &Core, target: &impl EnqueueTarget, job: Enqueue) -> Result<Enqueued, EnqueueError> {
    let request = job.into_request(core.settings.max_payload)?;
    let taken = on_connection(core, target.connection(), |work| enqueue(work, &request))?;
    Ok(Enqueued(taken))
}

/// A write transaction of a running job, which exists only as long as the job is its own. Derefs to the connection.
///
/// It holds the write lock of the database from its beginning, so the job cannot be lost before its end. For the same
/// reason nobody else can write meanwhile: keep it short. Dropping it rolls back.
pub struct JobTransaction<'j> {
    tx: OpenTransaction<'j>,
}

impl JobTransaction<'_> {
    /// Commits.
    ///
    /// # Errors
    ///
    /// If the store fails. The transaction is rolled back then.
    pub fn commit(self) -> Result<(), StoreError> {
        self.tx.commit()
    }
}

impl Deref for JobTransaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.tx.connection()
    }
}

impl fmt::Debug for JobTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobTransaction")
    }
}

impl JobContext {
    /// Opens a write transaction on the database of the jobs, if the job still belongs to this run.
    ///
    /// What the job writes in it, and its [`checkpoint_on`](Self::checkpoint_on) or [`complete_on`](Self::complete_on),
    /// are committed together or not at all.
    ///
    /// # Errors
    ///
    /// [`RunError::LostClaim`] if the job no longer belongs to this run. [`RunError::Store`] if the database is locked
    /// or fails, or if the store is not one in SQLite.
    pub fn transaction(&self) -> Result<JobTransaction<'_>, RunError> {
        let tx = store(self.core())?.open_transaction()?;
        let held = tx.steps().holds_claim(&self.fence())?;
        if held { Ok(JobTransaction { tx }) } else { Err(self.lost_claim().into()) }
    }

    /// Stores how far the job has come, in the user's own transaction.
    ///
    /// # Errors
    ///
    /// [`RunError::LostClaim`] if the job no longer belongs to this run: roll back.
    pub fn checkpoint_on<T: Serialize>(&self, target: impl EnqueueTarget, progress: &T) -> Result<(), RunError> {
        let (fence, bytes) = (self.fence(), encode(progress)?);
        let held = on_connection(self.core(), target.connection(), |work| work.tx.set_progress(&fence, &bytes))?;
        if held { Ok(()) } else { Err(self.lost_claim().into()) }
    }

    /// Ends the job as succeeded, in the user's own transaction.
    ///
    /// After the commit, the effects of the job in this database have happened exactly once. What the handler returns
    /// then changes nothing. If the transaction is rolled back, the result of the handler counts as usual.
    ///
    /// # Errors
    ///
    /// [`RunError::LostClaim`] if the job no longer belongs to this run: roll back.
    pub fn complete_on(&self, target: impl EnqueueTarget) -> Result<(), RunError> {
        let end = CompletedRun {
            fence: self.fence(),
            kind: self.kind().to_owned(),
            failed: self.failed(),
            max_failures: u32::MAX,
            output: self.current_output(),
            result: RunResult::Succeeded,
        };
        match on_connection(self.core(), target.connection(), |work| record_result(work, &end))? {
            Recorded::LostClaim => Err(self.lost_claim().into()),
            Recorded::Finished(_) | Recorded::PutBack => Ok(()),
        }
    }

    /// Stores another job in the user's own transaction.
    ///
    /// # Errors
    ///
    /// If the job is not valid, or the store fails.
    pub fn enqueue_on(&self, target: impl EnqueueTarget, job: impl Into<Enqueue>) -> Result<Enqueued, EnqueueError> {
        enqueue_on(self.core(), &target, job.into())
    }
}

pub(crate) fn statement(core: &Core, job: Enqueue) -> Result<Statement, EnqueueError> {
    let request = job.into_request(core.settings.max_payload)?;
    if request.replace || matches!(request.unique, Some(UniqueRequest::Within(..))) {
        return Err(EnqueueError::Invalid(
            "`replace` and `Unique::within` are more than one statement; use `enqueue_on`".to_owned(),
        ));
    }
    let store = store(core)?;
    let job = new_job(&request, core.read(|tx| tx.now())?);
    let text = |text: Option<&String>| text.map_or(Value::Null, |text| Value::Text(text.clone()));
    let number = |number: Option<i64>| number.map_or(Value::Null, Value::Integer);
    let (unique, limit) = (job.unique.as_ref(), job.limit.as_ref());
    let params = vec![
        Value::Text(job.queue.clone()),
        Value::Text(job.kind.clone()),
        Value::Integer(i64::from(job.version)),
        Value::Integer(job.state as i64),
        Value::Integer(i64::from(job.priority)),
        Value::Integer(job.run_at),
        Value::Integer(job.created_at),
        Value::Integer(i64::from(job.max_failures)),
        unique.map_or(Value::Null, |unique| Value::Bytes(unique.key.clone())),
        Value::Integer(i64::from(unique.is_some_and(|unique| unique.until_finished))),
        text(limit.map(|limit| &limit.key)),
        number(limit.map(|limit| i64::from(limit.most))),
        Value::Null,
        Value::Null,
        Value::Integer(0),
        Value::Bytes(job.payload),
    ];
    Ok(Statement { sql: store.insert_text().to_owned(), params })
}
