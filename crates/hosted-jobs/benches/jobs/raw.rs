//! The same statements, written by hand on a connection of one's own.

use crate::setup::Work;
use hosted_jobs::{Jobs, rusqlite};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

pub(crate) fn connect(folder: &Path, full: bool) -> Connection {
    let db = Connection::open(folder.join("jobs.db")).unwrap();
    db.busy_timeout(Duration::from_secs(60)).unwrap();
    db.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" }).unwrap();
    db.set_prepared_statement_cache_capacity(64);
    db
}

/// Inserts `jobs` jobs in one transaction.
pub(crate) fn insert(db: &Connection, jobs: &Jobs, number: u64) {
    let statement = jobs.statement(&Work::new(1)).unwrap();
    db.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
    for n in 0..number {
        // What a program does for each job: its payload, and its parameters.
        let payload = serde_json::to_vec(&Work::new(n)).unwrap();
        let mut insert = db.prepare_cached(statement.sql()).unwrap();
        for (place, value) in statement.params().iter().enumerate() {
            insert.raw_bind_parameter(place + 1, value).unwrap();
        }
        insert.raw_bind_parameter(statement.params().len(), payload).unwrap();
        let mut rows = insert.raw_query();
        while rows.next().unwrap().is_some() {}
    }
    db.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
}

const CLAIM: &str = "UPDATE hosted_job SET state = 2, claim = claim + 1, worker = ?1, started_at = 0 WHERE id IN \
     (SELECT id FROM hosted_job WHERE state = 1 AND lost = 0 AND queue = 'default' AND kind = 'work' AND version = 1 \
     ORDER BY priority, id LIMIT ?2) RETURNING id, claim, payload";
const COPY: &str = "INSERT INTO hosted_done(id, queue, kind, version, priority, outcome, created_at, started_at, finished_at, \
     claim, worker, failed, lost, max_failed, missed) SELECT id, queue, kind, version, priority, 0, created_at, started_at, 0, \
     claim, worker, failed, lost, max_failed, missed FROM hosted_job WHERE id = ?1 AND claim = ?2 AND worker = ?3 AND state = 2";
const DELETE: &str = "DELETE FROM hosted_job WHERE id = ?1 AND claim = ?2 AND worker = ?3 AND state = 2";

/// A worker that claims and completes by itself.
pub(crate) struct Worker {
    db: Connection,
    id: i64,
    claimed: Vec<(i64, i64)>,
}

impl Worker {
    pub(crate) fn new(folder: &Path, full: bool, id: i64) -> Self {
        Worker { db: connect(folder, full), id, claimed: Vec::new() }
    }

    fn begin(&self) {
        self.db.prepare_cached("BEGIN IMMEDIATE").unwrap().execute([]).unwrap();
    }

    fn commit(&self) {
        self.db.prepare_cached("COMMIT").unwrap().execute([]).unwrap();
    }

    fn claim(&mut self, number: u64) {
        let mut claim = self.db.prepare_cached(CLAIM).unwrap();
        let mut rows = claim.query((self.id, number as i64)).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let payload: Vec<u8> = row.get(2).unwrap();
            std::hint::black_box(serde_json::from_slice::<Work>(&payload).unwrap());
            self.claimed.push((row.get(0).unwrap(), row.get(1).unwrap()));
        }
    }

    fn complete(&mut self) -> u64 {
        let completed = self.claimed.len() as u64;
        for (id, claim) in self.claimed.drain(..) {
            self.db.prepare_cached(COPY).unwrap().execute((id, claim, self.id)).unwrap();
            self.db.prepare_cached(DELETE).unwrap().execute((id, claim, self.id)).unwrap();
        }
        completed
    }

    /// Claims in one transaction, and completes in another: what a worker with its own connection does.
    pub(crate) fn step(&mut self, number: u64) -> u64 {
        self.begin();
        self.claim(number);
        self.commit();
        self.begin();
        let completed = self.complete();
        self.commit();
        completed
    }

    /// Completes the last jobs and claims the next ones in one transaction.
    pub(crate) fn fused_step(&mut self, number: u64) -> u64 {
        self.begin();
        let completed = self.complete();
        self.claim(number);
        self.commit();
        completed
    }

    /// Completes what is left.
    pub(crate) fn finish(&mut self) -> u64 {
        self.begin();
        let completed = self.complete();
        self.commit();
        completed
    }
}
