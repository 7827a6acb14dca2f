//! A write transaction that a running job has open.

use super::{SqliteStore, SqliteTx, end};
use crate::store::Result;
use rusqlite::Connection;

/// A write transaction on a connection of its own. Dropping it rolls back.
pub(crate) struct OpenTransaction<'s> {
    store: &'s SqliteStore,
    /// `Some` until the transaction has ended.
    conn: Option<Connection>,
}

impl<'s> OpenTransaction<'s> {
    pub(super) fn new(store: &'s SqliteStore, conn: Connection) -> Self {
        OpenTransaction { store, conn: Some(conn) }
    }

    pub(crate) fn connection(&self) -> &Connection {
        match &self.conn {
            Some(conn) => conn,
            // `commit` takes the connection, and consumes the transaction.
            None => unreachable!("a transaction that has ended is not used"),
        }
    }

    pub(crate) fn steps(&self) -> SqliteTx<'_> {
        self.store.on(self.connection())
    }

    pub(crate) fn commit(mut self) -> Result<()> {
        let Some(conn) = self.conn.take() else { return Ok(()) };
        let result = end(&conn, Ok(()));
        if result.is_ok() {
            SqliteStore::put_back(&self.store.writers_of_jobs, conn);
        }
        result
    }
}

impl Drop for OpenTransaction<'_> {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        // A connection whose rollback fails is closed, which rolls back as well.
        if conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() {
            SqliteStore::put_back(&self.store.writers_of_jobs, conn);
        }
    }
}
