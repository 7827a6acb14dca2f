//! The tables of a store in SQLite.
//!
//! The tables are a public contract: any program may read them, and may insert into `job`. The `CHECK`s refuse what the
//! library could not read.

/// The version of the tables that this program creates and knows.
pub(super) const KNOWN: u32 = 1;

/// The oldest version of the library that can use the tables as this program creates them.
pub(super) const NEEDED: u32 = 1;

/// The statements that create the tables of version 1. `{p}` stands for the prefix of all names.
///
/// - A job that is not due is in no index of ready jobs, and neither is a held one: a claim never meets them.
/// - `job_ready` starts with queue, kind and version: a claim never meets jobs that this program does not handle.
/// - Suspects (`lost > 0`: a process died while they ran) have an index of their own, as they are claimed one at a time.
/// - The queue at the end of an index lets the jobs of each queue be counted without reading the table.
/// - `job_serial` makes "one at a time" true even if the library is wrong.
pub(super) const VERSION_1: &str = "
CREATE TABLE {p}job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL DEFAULT 'default',
  kind TEXT NOT NULL,
  version INTEGER NOT NULL DEFAULT 1 CHECK (version BETWEEN 1 AND 4294967295),
  state INTEGER NOT NULL DEFAULT 1 CHECK (state BETWEEN 0 AND 4),
  priority INTEGER NOT NULL DEFAULT 0 CHECK (priority BETWEEN -2147483648 AND 2147483647),
  run_at INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL DEFAULT 0,
  claim INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0 CHECK (failed BETWEEN 0 AND 4294967295),
  lost INTEGER NOT NULL DEFAULT 0 CHECK (lost BETWEEN 0 AND 4294967295),
  max_failed INTEGER NOT NULL DEFAULT 20 CHECK (max_failed BETWEEN 1 AND 4294967295),
  worker INTEGER,
  started_at INTEGER,
  unique_key BLOB,
  until INTEGER NOT NULL DEFAULT 0 CHECK (until IN (0, 1)),
  limit_key TEXT,
  limit_n INTEGER CHECK (limit_n BETWEEN 1 AND 4294967295),
  stop_wanted INTEGER NOT NULL DEFAULT 0,
  schedule TEXT,
  due_at INTEGER,
  missed INTEGER NOT NULL DEFAULT 0 CHECK (missed BETWEEN 0 AND 4294967295),
  payload BLOB NOT NULL,
  progress BLOB,
  error TEXT,
  CHECK ((limit_key IS NULL) = (limit_n IS NULL)),
  CHECK ((schedule IS NULL) = (due_at IS NULL)),
  CHECK ((state = 2) = (worker IS NOT NULL))
) STRICT;
CREATE INDEX {p}job_ready ON {p}job(queue, kind, version, priority, id) WHERE state = 1 AND lost = 0;
CREATE INDEX {p}job_suspect ON {p}job(queue, kind, version, priority, id) WHERE state = 1 AND lost > 0;
CREATE INDEX {p}job_due ON {p}job(run_at, queue) WHERE state = 0;
CREATE INDEX {p}job_running ON {p}job(worker, queue) WHERE state = 2;
CREATE INDEX {p}job_limit ON {p}job(limit_key, state, priority, id, queue) WHERE limit_key IS NOT NULL;
CREATE INDEX {p}job_arrived ON {p}job(id) WHERE state = 4;
CREATE UNIQUE INDEX {p}job_unique ON {p}job(unique_key) WHERE unique_key IS NOT NULL;
CREATE UNIQUE INDEX {p}job_serial ON {p}job(limit_key) WHERE state IN (1, 2) AND limit_n = 1;
CREATE UNIQUE INDEX {p}job_occurrence ON {p}job(schedule, due_at) WHERE schedule IS NOT NULL;
CREATE TABLE {p}done (
  id INTEGER PRIMARY KEY,
  queue TEXT NOT NULL,
  kind TEXT NOT NULL,
  version INTEGER NOT NULL,
  priority INTEGER NOT NULL,
  outcome INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 2),
  created_at INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER NOT NULL,
  claim INTEGER NOT NULL,
  worker INTEGER,
  failed INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  max_failed INTEGER NOT NULL,
  limit_key TEXT,
  limit_n INTEGER,
  schedule TEXT,
  due_at INTEGER,
  missed INTEGER NOT NULL,
  payload BLOB,
  progress BLOB,
  error TEXT,
  output BLOB
) STRICT;
CREATE INDEX {p}done_prune ON {p}done(outcome, finished_at);
CREATE TABLE {p}worker (
  id INTEGER PRIMARY KEY,
  pid INTEGER NOT NULL,
  host TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  kinds TEXT NOT NULL,
  stopping INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE {p}schedule (
  name TEXT PRIMARY KEY,
  program TEXT NOT NULL,
  spec TEXT NOT NULL,
  misfire TEXT NOT NULL,
  template TEXT NOT NULL,
  payload BLOB NOT NULL,
  next_at INTEGER,
  last_at INTEGER,
  missed INTEGER NOT NULL DEFAULT 0,
  paused INTEGER NOT NULL DEFAULT 0,
  error TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE {p}pause (
  what TEXT NOT NULL CHECK (what IN ('queue', 'kind')),
  name TEXT NOT NULL,
  PRIMARY KEY (what, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE {p}once (
  key BLOB PRIMARY KEY,
  until INTEGER NOT NULL,
  job INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX {p}once_until ON {p}once(until);
CREATE TABLE {p}meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
";
