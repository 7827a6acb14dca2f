//! A store in one SQLite file, which several processes of one machine may share.
//!
//! One connection writes. Readers and the transactions of running jobs have connections of their own. Every write
//! transaction begins with `BEGIN IMMEDIATE`: it has the write lock from its beginning, so it cannot fail half-way for
//! the lack of it.

mod schema;
mod convert;
mod sql;
mod migrate;
mod lock;
mod open;
mod tx;
mod questions;
#[cfg(target_os = "linux")]
mod wake;
mod transaction;
#[cfg(test)]
mod tests;

pub(crate) use open::{Settings, migration};
pub(crate) use transaction::OpenTransaction;
pub(crate) use tx::SqliteTx;

use crate::error::{StoreError, StoreErrorKind};
use crate::store::{Backend, Body, Life, ReadBody, Result, Watch, WriteMode};
use crate::util::random_between;
use convert::{is_busy, store_error};
use hosted::Clock;
use lock::WorkerLocks;
use parking_lot::Mutex;
use rusqlite::Connection;
use sql::Sql;
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How many statements a connection keeps prepared: all of them, and claims for several sets of kinds.
const STATEMENTS: usize = 128;

/// How many idle connections are kept for readers, and how many for the transactions of jobs.
const IDLE_CONNECTIONS: usize = 8;

/// On systems that do not report the writes of other processes, workers check the store this often.
#[cfg(not(target_os = "linux"))]
const POLL: Duration = Duration::from_millis(100);

/// A store in a SQLite file.
pub(crate) struct SqliteStore {
    path: PathBuf,
    sql: Sql,
    clock: Clock,
    settings: Settings,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
    /// Connections for the transactions of running jobs.
    writers_of_jobs: Mutex<Vec<Connection>>,
    locks: WorkerLocks,
}

/// The connection that writes.
struct Writer {
    conn: Connection,
    /// Whether its commits wait until the disk has them.
    durable: bool,
}

impl SqliteStore {
    fn begin(&self, conn: &Connection, give_up: Instant) -> Result<()> {
        begin_immediate(conn, give_up)
    }

    /// Opens one more connection, or takes one that is idle.
    fn connection(&self, idle: &Mutex<Vec<Connection>>) -> Result<Connection> {
        if let Some(conn) = idle.lock().pop() {
            return Ok(conn);
        }
        open::connect(&self.path, &self.settings).map_err(|error| store_error("open a connection", error))
    }

    /// Opens a write transaction on a connection of its own, for a running job.
    pub(crate) fn open_transaction(&self) -> Result<OpenTransaction<'_>> {
        let conn = self.connection(&self.writers_of_jobs)?;
        self.begin(&conn, Instant::now() + self.settings.busy_limit)?;
        Ok(OpenTransaction::new(self, conn))
    }

    /// Returns the steps of a transaction on the user's own connection.
    pub(crate) fn on<'c>(&'c self, conn: &'c Connection) -> SqliteTx<'c> {
        SqliteTx::new(conn, &self.sql, &self.clock)
    }

    /// The text of the statement that inserts a job.
    pub(crate) fn insert_text(&self) -> &str {
        &self.sql.insert
    }

    fn put_back(idle: &Mutex<Vec<Connection>>, conn: Connection) {
        let mut idle = idle.lock();
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(conn);
        }
    }
}

impl Writer {
    /// Sets whether commits wait for the disk. The setting holds for the connection, so it is changed only if needed.
    fn set_durable(&mut self, durable: bool) -> Result<()> {
        if self.durable != durable {
            let level = if durable { "FULL" } else { "NORMAL" };
            let set = self.conn.pragma_update(None, "synchronous", level);
            set.map_err(|error| store_error("set how commits are synchronised", error))?;
            self.durable = durable;
        }
        Ok(())
    }
}

/// Takes the write lock. Tries again, a little later each time, until `give_up`.
///
/// SQLite's own busy handler sleeps up to 100 ms between two tries. With several writers that starves some of them.
fn begin_immediate(conn: &Connection, give_up: Instant) -> Result<()> {
    let began = Instant::now();
    let mut wait = 200; // microseconds
    loop {
        let mut begin = conn.prepare_cached("BEGIN IMMEDIATE").map_err(|error| store_error("begin", error))?;
        match begin.execute([]) {
            Ok(_) => return Ok(()),
            Err(error) if is_busy(&error) => {
                if Instant::now() >= give_up {
                    return Err(StoreError::new(StoreErrorKind::Busy(began.elapsed())).with_source(error));
                }
            }
            Err(error) => return Err(store_error("begin a transaction", error)),
        }
        drop(begin);
        thread::sleep(Duration::from_micros(random_between(wait / 2, wait)));
        wait = (wait * 2).min(5_000);
    }
}

/// Ends a transaction: `COMMIT` if all went well, else `ROLLBACK`.
fn end(conn: &Connection, result: Result<()>) -> Result<()> {
    let result = result.and_then(|()| {
        let mut commit = conn.prepare_cached("COMMIT").map_err(|error| store_error("commit", error))?;
        commit.execute([]).map(drop).map_err(|error| store_error("commit", error))
    });
    if result.is_err() && !conn.is_autocommit() {
        // If this fails as well, SQLite has rolled back already, or the next BEGIN reports what is wrong.
        let _ = conn.execute_batch("ROLLBACK");
    }
    result
}

impl Backend for SqliteStore {
    fn write(&self, mode: WriteMode, body: Body<'_>) -> Result<()> {
        let mut writer = self.writer.lock();
        if !writer.conn.is_autocommit() {
            // A panic went through the last transaction.
            writer.conn.execute_batch("ROLLBACK").map_err(|error| store_error("roll back", error))?;
        }
        writer.set_durable(mode.durable && self.settings.full_synchronous)?;
        self.begin(&writer.conn, mode.give_up)?;
        let result = body(&mut SqliteTx::new(&writer.conn, &self.sql, &self.clock));
        end(&writer.conn, result)
    }

    fn read(&self, body: ReadBody<'_>) -> Result<()> {
        let conn = self.connection(&self.readers)?;
        let failed = |error| store_error("read", error);
        conn.execute_batch("BEGIN").map_err(failed)?;
        let result = body(&mut SqliteTx::new(&conn, &self.sql, &self.clock));
        let result = end(&conn, result);
        if result.is_ok() {
            Self::put_back(&self.readers, conn);
        }
        result
    }

    fn announce(&self, worker: i64, threads: usize) -> Result<Arc<dyn Life>> {
        Ok(Arc::new(self.locks.take(worker, threads)?))
    }

    fn is_dead(&self, worker: i64) -> bool {
        self.locks.is_free(worker)
    }

    fn started_by(&self, worker: i64) -> Option<Vec<i64>> {
        self.locks.started_by(worker)
    }

    fn forget(&self, worker: i64) {
        self.locks.remove(worker);
    }

    fn foreign_commits(&self) -> Option<i64> {
        let writer = self.writer.try_lock()?;
        let mut version = writer.conn.prepare_cached("PRAGMA data_version").ok()?;
        version.query_row([], |row| row.get(0)).ok()
    }

    #[cfg(target_os = "linux")]
    fn watch(&self) -> Watch {
        wake::watch(&self.path)
    }

    #[cfg(not(target_os = "linux"))]
    fn watch(&self) -> Watch {
        Watch::Poll(POLL)
    }

    fn busy_limit(&self) -> Duration {
        self.settings.busy_limit
    }

    fn log_size(&self) -> Option<u64> {
        std::fs::metadata(beside(&self.path, "-wal")).ok().map(|file| file.len())
    }

    fn empty_log(&self) {
        // The pragma answers with a row, also if somebody needs the log. Then the next time will do.
        let writer = self.writer.lock();
        let _ = writer.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// Returns the path of a file or directory that belongs to the database: its name and `suffix`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
