//! The orders, in the same file as the jobs.

use super::mail::SendMail;
use hosted_jobs::Jobs;
use hosted_jobs::rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::Deserialize;
use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a customer sends.
#[derive(Deserialize)]
pub(crate) struct NewOrder {
    pub(crate) customer: String,
    pub(crate) item: String,
}

pub(crate) fn create(path: &Path) -> Result<(), Box<dyn Error + Send + Sync>> {
    connect(path)?.execute_batch(
        "CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, key TEXT UNIQUE, customer TEXT NOT NULL,
           item TEXT NOT NULL, placed_at INTEGER NOT NULL, mailed_at INTEGER) STRICT;
         CREATE INDEX IF NOT EXISTS orders_not_mailed ON orders(id) WHERE mailed_at IS NULL",
    )?;
    Ok(())
}

pub(crate) fn connect(path: &Path) -> Result<Connection, Box<dyn Error + Send + Sync>> {
    let db = Connection::open(path)?;
    db.busy_timeout(Duration::from_secs(5))?;
    Ok(db)
}

/// Stores an order and the job that mails it, both or neither. An order with a known key is the same order.
pub(crate) fn place(
    db: &mut Connection,
    jobs: &Jobs,
    order: NewOrder,
    key: Option<&str>,
) -> Result<i64, Box<dyn Error + Send + Sync>> {
    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = "SELECT id FROM orders WHERE key = ?1";
    if let Some(id) = tx.query_row(known, [key], |row| row.get(0)).optional()? {
        return Ok(id);
    }
    let insert = "INSERT INTO orders(key, customer, item, placed_at) VALUES (?1, ?2, ?3, ?4)";
    tx.execute(insert, params![key, order.customer, order.item, now()])?;
    let id = tx.last_insert_rowid();
    jobs.enqueue_on(&tx, &SendMail { order: id, customer: order.customer, item: order.item })?;
    tx.commit()?;
    jobs.ring(); // a worker starts now, and not a few milliseconds later
    Ok(id)
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}
