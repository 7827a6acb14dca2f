//! Every statement of the store, once. Their plans and the rows they change are tested.

use super::convert::{CLAIMED, FINISHED, LIVE, RUNNING, SCHEDULE};
use std::fmt::Write;

/// The condition of every statement that changes a running job: its fence.
const FENCE: &str = "id = ?1 AND claim = ?2 AND worker = ?3 AND state = 2";

/// The columns that a job takes along when it ends, as they stand in the tables `job` and `done`.
const KEPT: &str = "id, queue, kind, version, priority, created_at, started_at, claim, max_failed, limit_key, limit_n, \
     schedule, due_at, missed, progress";

/// Declares the statements. In the texts, `{p}` stands for the prefix of all tables, and other names in braces for the
/// lists of columns and conditions of [`expand`].
macro_rules! statements {
    ($($name:ident = $text:literal;)*) => {
        /// The texts of the statements, with the names of this store's tables.
        pub(super) struct Sql {
            prefix: String,
            $(pub(super) $name: String,)*
        }

        impl Sql {
            pub(super) fn new(prefix: &str) -> Self {
                Sql { $($name: expand($text, prefix),)* prefix: prefix.to_owned() }
            }
        }
    };
}

fn expand(text: &str, prefix: &str) -> String {
    let names = [
        ("{p}", prefix),
        ("{FENCE}", FENCE),
        ("{KEPT}", KEPT),
        ("{RUNNING}", RUNNING),
        ("{LIVE}", LIVE),
        ("{FINISHED}", FINISHED),
        ("{SCHEDULE}", SCHEDULE),
    ];
    names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

statements! {
    insert = "INSERT INTO {p}job(queue, kind, version, state, priority, run_at, created_at, max_failed, unique_key, \
        until, limit_key, limit_n, schedule, due_at, missed, payload) \
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
        ON CONFLICT DO NOTHING RETURNING id";
    unique_holder = "SELECT id, state, limit_key FROM {p}job WHERE unique_key = ?1";
    // The columns as in `insert`, so that both bind alike; ?17 is the id.
    replace = "UPDATE {p}job SET queue = ?1, kind = ?2, version = ?3, state = ?4, priority = ?5, run_at = ?6, \
        created_at = min(created_at, ?7), max_failed = ?8, unique_key = ?9, until = ?10, limit_key = ?11, \
        limit_n = ?12, schedule = ?13, due_at = ?14, missed = ?15, payload = ?16, progress = NULL \
        WHERE id = ?17 AND state <> 2";
    take_once = "INSERT INTO {p}once(key, until) VALUES (?1, ?2) \
        ON CONFLICT (key) DO UPDATE SET until = excluded.until, job = NULL WHERE until <= ?3";
    set_once_job = "UPDATE {p}once SET job = ?2 WHERE key = ?1";
    once_job = "SELECT job FROM {p}once WHERE key = ?1";
    promote_due = "UPDATE {p}job SET state = iif(limit_key IS NULL, 1, 4) WHERE id IN \
        (SELECT id FROM {p}job WHERE state = 0 AND run_at <= ?1 ORDER BY run_at LIMIT ?2)";
    arrived_keys = "SELECT DISTINCT limit_key FROM (SELECT limit_key FROM {p}job WHERE state = 4 ORDER BY id LIMIT ?1)";
    hold_arrived = "UPDATE {p}job SET state = 3 WHERE limit_key = ?1 AND state = 4";
    limit_usage = "SELECT count(*), min(limit_n) FROM {p}job WHERE limit_key = ?1 AND state IN (1, 2)";
    first_held = "SELECT id, limit_n FROM {p}job WHERE limit_key = ?1 AND state = 3 ORDER BY priority, id LIMIT 1";
    make_ready = "UPDATE {p}job SET state = 1 WHERE id = ?1 AND state = 3";
    next_ready_queue = "SELECT min(queue) FROM {p}job WHERE state = 1 AND lost = 0 AND queue > ?1";
    next_suspect_queue = "SELECT min(queue) FROM {p}job WHERE state = 1 AND lost > 0 AND queue > ?1";
    holds_claim = "SELECT 1 FROM {p}job WHERE {FENCE}";
    set_progress = "UPDATE {p}job SET progress = ?4 WHERE {FENCE}";
    // ?4 outcome, ?5 now, ?6 failed, ?7 lost, ?8 error, ?9 output, ?10 whether the payload is kept, ?11 whether the
    // worker that holds the job ends it.
    copy_finished = "INSERT INTO {p}done({KEPT}, outcome, finished_at, failed, lost, error, output, payload, worker) \
        SELECT {KEPT}, ?4, ?5, failed + ?6, lost + ?7, coalesce(?8, error), ?9, iif(?10, payload, NULL), \
        iif(?11, worker, NULL) FROM {p}job WHERE {FENCE}";
    delete_finished_live = "DELETE FROM {p}job WHERE {FENCE} RETURNING limit_key";
    cancel_requested = "SELECT stop_wanted FROM {p}job WHERE {FENCE}";
    put_back = "UPDATE {p}job SET state = ?4, run_at = coalesce(?5, run_at), failed = failed + ?6, lost = lost + ?7, \
        error = coalesce(?8, error), worker = NULL, stop_wanted = 0 WHERE {FENCE} RETURNING limit_key";
    finished_by = "SELECT 1 FROM {p}done WHERE id = ?1 AND claim = ?2 AND worker = ?3";
    // The parameters as in `copy_finished`, of which ?2 and ?3 are not used.
    copy_waiting = "INSERT INTO {p}done({KEPT}, outcome, finished_at, failed, lost, error, output, payload, worker) \
        SELECT {KEPT}, ?4, ?5, failed + ?6, lost + ?7, coalesce(?8, error), ?9, iif(?10, payload, NULL), \
        iif(?11, worker, NULL) FROM {p}job WHERE id = ?1 AND state <> 2";
    delete_waiting = "DELETE FROM {p}job WHERE id = ?1 AND state <> 2 RETURNING limit_key";
    request_cancel = "UPDATE {p}job SET stop_wanted = 1 WHERE id = ?1 AND state = 2";
    revive = "INSERT INTO {p}job(id, queue, kind, version, state, priority, run_at, created_at, max_failed, \
        limit_key, limit_n, schedule, due_at, missed, claim, payload) \
        SELECT id, queue, kind, version, iif(limit_key IS NULL, 1, 4), priority, ?2, created_at, max_failed, \
        limit_key, limit_n, schedule, due_at, missed, claim, payload \
        FROM {p}done WHERE id = ?1 AND outcome <> 0 AND payload IS NOT NULL";
    delete_finished = "DELETE FROM {p}done WHERE id = ?1";
    add_worker = "INSERT INTO {p}worker(id, pid, host, started_at, kinds, stopping) VALUES (?1, ?2, ?3, ?4, ?5, ?6) \
        ON CONFLICT (id) DO UPDATE SET kinds = excluded.kinds, stopping = excluded.stopping";
    remove_worker = "DELETE FROM {p}worker WHERE id = ?1";
    mark_stopping = "UPDATE {p}worker SET stopping = 1 WHERE id = ?1";
    put_schedule = "INSERT OR REPLACE INTO {p}schedule({SCHEDULE}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    delete_schedule = "DELETE FROM {p}schedule WHERE name = ?1";
    advance_schedule = "UPDATE {p}schedule SET next_at = ?3, last_at = ?4, missed = ?5 \
        WHERE name = ?1 AND next_at = ?2 AND paused = 0";
    schedule_missed = "UPDATE {p}schedule SET missed = ?2 WHERE name = ?1";
    schedule_error = "UPDATE {p}schedule SET error = ?2 WHERE name = ?1";
    schedule_paused = "UPDATE {p}schedule SET paused = ?2, next_at = ?3 WHERE name = ?1";
    pause = "INSERT OR IGNORE INTO {p}pause(what, name) VALUES (?1, ?2)";
    unpause = "DELETE FROM {p}pause WHERE what = ?1 AND name = ?2";
    set_meta = "INSERT OR REPLACE INTO {p}meta(key, value) VALUES (?1, ?2)";
    prune = "DELETE FROM {p}done WHERE id IN (SELECT id FROM {p}done WHERE outcome = ?1 AND finished_at < ?2 \
        ORDER BY finished_at LIMIT ?3)";
    prune_once = "DELETE FROM {p}once WHERE key IN (SELECT key FROM {p}once WHERE until <= ?1 ORDER BY until LIMIT ?2)";
    pauses = "SELECT what, name FROM {p}pause";
    next_run_at = "SELECT min(run_at) FROM {p}job WHERE state = 0";
    next_schedule_at = "SELECT min(next_at) FROM {p}schedule WHERE paused = 0 AND error IS NULL";
    workers = "SELECT id, pid, host, started_at, kinds, stopping FROM {p}worker ORDER BY started_at, id";
    running_jobs = "SELECT {RUNNING} FROM {p}job WHERE worker = ?1 AND state = 2";
    others_run_jobs = "SELECT EXISTS (SELECT 1 FROM {p}job WHERE state = 2 AND worker < ?1) \
        OR EXISTS (SELECT 1 FROM {p}job WHERE state = 2 AND worker > ?1)";
    schedules = "SELECT {SCHEDULE} FROM {p}schedule ORDER BY name";
    meta = "SELECT value FROM {p}meta WHERE key = ?1";
    live_job = "SELECT {LIVE} FROM {p}job WHERE id = ?1";
    finished_job = "SELECT {FINISHED} FROM {p}done WHERE id = ?1";
    // Each part reads one index, and no row of the table. Jobs under which a process died are counted apart.
    queue_counts = "SELECT queue, state, jobs, (SELECT created_at FROM {p}job WHERE id = oldest), due FROM ( \
        SELECT queue, 1 AS state, count(*) AS jobs, min(id) AS oldest, NULL AS due \
        FROM {p}job WHERE state = 1 AND lost = 0 GROUP BY queue \
        UNION ALL SELECT queue, 1, count(*), min(id), NULL FROM {p}job WHERE state = 1 AND lost > 0 GROUP BY queue \
        UNION ALL SELECT queue, 0, count(*), NULL, min(run_at) FROM {p}job WHERE state = 0 GROUP BY queue \
        UNION ALL SELECT queue, 2, count(*), NULL, NULL FROM {p}job WHERE state = 2 GROUP BY queue \
        UNION ALL SELECT queue, 3, count(*), NULL, NULL FROM {p}job \
        WHERE limit_key IS NOT NULL AND state IN (3, 4) GROUP BY queue)";
    waiting_kinds = "SELECT kind, version, sum(jobs) FROM ( \
        SELECT kind, version, count(*) AS jobs FROM {p}job WHERE state = 1 AND lost = 0 GROUP BY queue, kind, version \
        UNION ALL SELECT kind, version, count(*) FROM {p}job WHERE state = 1 AND lost > 0 GROUP BY queue, kind, version) \
        GROUP BY kind, version ORDER BY kind, version";
    finished_count = "SELECT count(*) FROM {p}done WHERE outcome = ?1";
}

impl Sql {
    /// The claim for `kinds` kinds: a probe of the index for each, so that no job of another kind is met.
    ///
    /// ?1 worker, ?2 now, ?3 queue, ?4 most, then kind and version of each kind.
    pub(super) fn claim(&self, kinds: usize, suspects: bool) -> String {
        let (p, lost) = (&self.prefix, if suspects { "lost > 0" } else { "lost = 0" });
        let mut branches = String::new();
        for n in 0..kinds {
            let (union, kind, version) = (if n == 0 { "" } else { " UNION ALL " }, 5 + 2 * n, 6 + 2 * n);
            let branch = format!(
                "{union}SELECT * FROM (SELECT id, priority FROM {p}job WHERE state = 1 AND {lost} AND queue = ?3 \
                 AND kind = ?{kind} AND version = ?{version} ORDER BY priority, id LIMIT ?4)"
            );
            branches.push_str(&branch);
        }
        format!(
            "UPDATE {p}job SET state = 2, claim = claim + 1, worker = ?1, started_at = ?2, stop_wanted = 0, \
             unique_key = iif(until = 0, NULL, unique_key) WHERE id IN \
             (SELECT id FROM ({branches}) ORDER BY priority, id LIMIT ?4) RETURNING {CLAIMED}"
        )
    }

    /// The list of live jobs. ?1 after, ?2 limit, ?3 queue, ?4 kind.
    pub(super) fn live_jobs(&self, states: &[i64]) -> String {
        let mut list = String::new();
        for (n, state) in states.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(list, "{}{state}", if n == 0 { "" } else { ", " });
        }
        format!(
            "SELECT {LIVE} FROM {}job WHERE id > ?1 AND state IN ({list}) AND (?3 IS NULL OR queue = ?3) \
             AND (?4 IS NULL OR kind = ?4) ORDER BY id LIMIT ?2",
            self.prefix
        )
    }

    /// The list of finished jobs. ?1 after, ?2 limit, ?3 queue, ?4 kind, ?5 outcome.
    pub(super) fn finished_jobs(&self) -> String {
        format!(
            "SELECT {FINISHED} FROM {}done WHERE id > ?1 AND outcome = ?5 AND (?3 IS NULL OR queue = ?3) \
             AND (?4 IS NULL OR kind = ?4) ORDER BY id LIMIT ?2",
            self.prefix
        )
    }
}
