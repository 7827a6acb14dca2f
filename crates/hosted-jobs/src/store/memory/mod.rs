//! A store in memory, for tests and for jobs that need not outlive their process. It is also the model of the others.

mod table;
mod steps;
mod questions;

use super::{Backend, Body, Life, ReadBody, Result, Watch, WriteMode};
use hosted::Clock;
use parking_lot::Mutex;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;
use table::Tables;

/// How long to wait for another thread of this process. Transactions of this store take microseconds.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// A store in the memory of this process.
pub(crate) struct MemoryStore {
    tables: Mutex<Tables>,
    clock: Clock,
}

impl MemoryStore {
    pub(crate) fn new(clock: Clock) -> Self {
        MemoryStore { tables: Mutex::default(), clock }
    }
}

/// The tables under the lock, and the clock: a transaction.
pub(super) struct MemoryTx<'t> {
    tables: &'t mut Tables,
    clock: &'t Clock,
}

/// Nobody outlives a worker of this store, so nobody needs its marks.
struct SharedLife;

impl Life for SharedLife {
    fn mark_started(&self, _: usize, _: Option<i64>) {}
}

impl Backend for MemoryStore {
    /// The body cannot fail half-way: no step of this store fails. So there is nothing to roll back.
    fn write(&self, _: WriteMode, body: Body<'_>) -> Result<()> {
        body(&mut MemoryTx { tables: &mut self.tables.lock(), clock: &self.clock })
    }

    fn read(&self, body: ReadBody<'_>) -> Result<()> {
        body(&mut MemoryTx { tables: &mut self.tables.lock(), clock: &self.clock })
    }

    /// A worker of this store lives as long as the store: both are in this process.
    fn announce(&self, _: i64, _: usize) -> Result<Arc<dyn Life>> {
        Ok(Arc::new(SharedLife))
    }

    fn is_dead(&self, _: i64) -> bool {
        false
    }

    fn started_by(&self, _: i64) -> Option<Vec<i64>> {
        None
    }

    fn forget(&self, _: i64) {}

    fn foreign_commits(&self) -> Option<i64> {
        Some(0)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn watch(&self) -> Watch {
        Watch::Alone
    }

    fn busy_limit(&self) -> Duration {
        BUSY_LIMIT
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
