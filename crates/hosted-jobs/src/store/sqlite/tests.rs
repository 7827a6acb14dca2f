//! The statements: their plans, and that each changes only the rows that it names.

use super::open::Settings;
use super::sql::Sql;
use super::*;
use crate::state::{Outcome, State};
use crate::store::{ClaimQuery, End, Fence, KindVersion, Limit, NewJob, PutBack, Tx};

fn store() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings { prefix: "p_".into(), full_synchronous: false, migrate: true, busy_limit: Duration::from_secs(5) };
    let store = SqliteStore::open(&folder.path().join("jobs.db"), settings, Clock::system()).unwrap();
    (folder, store)
}

fn job(queue: &str, state: State) -> NewJob {
    NewJob {
        queue: queue.into(),
        kind: "k".into(),
        version: 1,
        priority: 0,
        max_failures: 20,
        state,
        run_at: 0,
        created_at: 0,
        unique: None,
        limit: None,
        occurrence: None,
        payload: b"{}".to_vec(),
    }
}

fn write<R>(store: &SqliteStore, mut f: impl FnMut(&mut dyn Tx) -> Result<R>) -> R {
    let mode = WriteMode { durable: false, give_up: Instant::now() + Duration::from_secs(60) };
    let mut answer = None;
    store.write(mode, &mut |tx| f(tx).map(|value| answer = Some(value))).unwrap();
    answer.unwrap()
}

/// The statements that run for each job or each claim, and the index that each must use.
fn hot_statements(sql: &Sql) -> Vec<(String, Vec<&'static str>)> {
    vec![
        (sql.unique_holder.clone(), vec!["p_job_unique"]),
        (sql.promote_due.clone(), vec!["p_job_due"]),
        (sql.arrived_keys.clone(), vec!["p_job_arrived"]),
        (sql.hold_arrived.clone(), vec!["p_job_limit"]),
        (sql.limit_usage.clone(), vec!["p_job_limit"]),
        (sql.first_held.clone(), vec!["p_job_limit"]),
        (sql.make_ready.clone(), vec!["PRIMARY KEY"]),
        (sql.next_ready_queue.clone(), vec!["p_job_ready"]),
        (sql.next_suspect_queue.clone(), vec!["p_job_suspect"]),
        (sql.claim(3, false), vec!["p_job_ready"]),
        (sql.claim(3, true), vec!["p_job_suspect"]),
        (sql.holds_claim.clone(), vec!["PRIMARY KEY"]),
        (sql.set_progress.clone(), vec!["PRIMARY KEY"]),
        (sql.copy_finished.clone(), vec!["PRIMARY KEY"]),
        (sql.delete_finished_live.clone(), vec!["PRIMARY KEY"]),
        (sql.put_back.clone(), vec!["PRIMARY KEY"]),
        (sql.finished_by.clone(), vec!["PRIMARY KEY"]),
        (sql.copy_waiting.clone(), vec!["PRIMARY KEY"]),
        (sql.delete_waiting.clone(), vec!["PRIMARY KEY"]),
        (sql.request_cancel.clone(), vec!["PRIMARY KEY"]),
        (sql.cancel_requested.clone(), vec!["PRIMARY KEY"]),
        (sql.prune.clone(), vec!["p_done_prune"]),
        (sql.prune_once.clone(), vec!["p_once_until"]),
        (sql.next_run_at.clone(), vec!["p_job_due"]),
        (sql.running_jobs.clone(), vec!["p_job_running"]),
        (sql.others_run_jobs.clone(), vec!["p_job_running"]),
        (
            sql.queue_counts.clone(),
            vec![
                "COVERING INDEX p_job_ready",
                "INDEX p_job_suspect",
                "COVERING INDEX p_job_due",
                "COVERING INDEX p_job_running",
                "COVERING INDEX p_job_limit",
            ],
        ),
        (sql.waiting_kinds.clone(), vec!["COVERING INDEX p_job_ready", "INDEX p_job_suspect"]),
        (sql.finished_count.clone(), vec!["COVERING INDEX p_done_prune"]),
        (sql.live_job.clone(), vec!["PRIMARY KEY"]),
        (sql.finished_job.clone(), vec!["PRIMARY KEY"]),
    ]
}

fn check_plans(store: &SqliteStore, statistics: &str) {
    let writer = store.writer.lock();
    for (text, indexes) in hot_statements(&store.sql) {
        let mut explain = writer.conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let lines: Vec<String> = {
            let mut rows = explain.raw_query();
            let mut lines = Vec::new();
            while let Some(row) = rows.next().unwrap() {
                lines.push(row.get::<_, String>(3).unwrap());
            }
            lines
        };
        let plan = lines.join("\n");
        for index in indexes {
            assert!(plan.contains(index), "with statistics of {statistics}: {text}\nplan:\n{plan}");
        }
        for line in lines.iter().filter(|line| line.starts_with("SCAN")) {
            // An index read in order up to a limit is no scan of the table, and neither is a subquery.
            let fine = line.contains("INDEX") || line.contains("(subquery") || line.contains("CONSTANT");
            assert!(fine, "with statistics of {statistics}: {text}\nplan:\n{plan}");
        }
        let sorts = plan.contains("TEMP B-TREE FOR ORDER BY");
        let merges = text.contains("UNION ALL"); // sorts as many rows as it takes
        assert!(!sorts || merges, "with statistics of {statistics}: {text}\nplan:\n{plan}");
    }
}

// 13
#[test]
fn every_hot_statement_uses_its_index_with_empty_and_with_full_tables() {
    let (_folder, store) = store();
    check_plans(&store, "no table");
    store.writer.lock().conn.execute_batch("ANALYZE").unwrap();
    check_plans(&store, "empty tables");
    write(&store, |tx| {
        for n in 0..3_000 {
            let state = [State::Ready, State::Scheduled, State::Held][n % 3];
            let limit = (state == State::Held).then(|| Limit { key: format!("k{}", n % 50), most: 2 });
            tx.insert(&NewJob { limit, ..job(if n % 2 == 0 { "a" } else { "b" }, state) })?;
        }
        Ok(())
    });
    store.writer.lock().conn.execute_batch("ANALYZE").unwrap();
    check_plans(&store, "full tables");
}

/// All rows of the live table, without those of `ids`.
fn bystanders(store: &SqliteStore, ids: &[i64]) -> Vec<String> {
    let writer = store.writer.lock();
    let mut all = writer.conn.prepare("SELECT * FROM p_job ORDER BY id").unwrap();
    let columns = all.column_count();
    let mut rows = all.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        if !ids.contains(&row.get::<_, i64>(0).unwrap()) {
            let values: Vec<String> = (0..columns).map(|n| format!("{:?}", row.get_ref(n).unwrap())).collect();
            found.push(values.join(","));
        }
    }
    found
}

/// A thousand jobs in every state.
fn fill(store: &SqliteStore) {
    write(store, |tx| {
        for n in 0..1_000 {
            let state = [State::Ready, State::Scheduled, State::Held, State::Arrived][n % 4];
            let limit = matches!(state, State::Held | State::Arrived).then(|| Limit { key: "x".into(), most: 1 });
            tx.insert(&NewJob { limit, run_at: 1_000, ..job("bystanders", state) })?;
        }
        let query = ClaimQuery {
            worker: 7,
            queue: "bystanders",
            kinds: &[KindVersion { kind: "k".into(), version: 1 }],
            suspects: false,
            most: 100,
            now: 5,
        };
        tx.claim(&query).map(drop)
    });
}

type Step = fn(&mut dyn Tx, &Fence) -> Result<()>;

fn back(state: State) -> PutBack {
    PutBack { state, run_at: Some(9), failed: 1, lost: 1, error: Some("e".into()) }
}

/// Every step that changes one job, on a job that is running.
fn steps() -> Vec<(&'static str, Step)> {
    vec![
        ("finish", (|tx, f| tx.finish(f, &End::by_worker(Outcome::Dead, 5)).map(|left| assert!(left.is_some())))),
        ("fail", (|tx, f| tx.put_back(f, &back(State::Scheduled)).map(|left| assert!(left.is_some())))),
        ("hand back", (|tx, f| tx.put_back(f, &back(State::Ready)).map(|left| assert!(left.is_some())))),
        ("progress", (|tx, f| tx.set_progress(f, b"1").map(|held| assert!(held)))),
        ("request cancel", (|tx, f| tx.request_cancel(f.id).map(|held| assert!(held)))),
        (
            "finish a waiting one",
            (|tx, f| {
                tx.put_back(f, &back(State::Ready))?;
                tx.finish_waiting(f.id, &End::from_outside(Outcome::Cancelled, 5)).map(|left| assert!(left.is_some()))
            }),
        ),
        (
            "replace",
            (|tx, f| {
                tx.put_back(f, &back(State::Ready))?;
                tx.replace(f.id, &job("q", State::Scheduled)).map(|held| assert!(held))
            }),
        ),
        (
            "promote",
            (|tx, f| {
                tx.put_back(f, &PutBack { run_at: Some(1), ..back(State::Scheduled) })?;
                tx.promote_due(1, 500).map(|number| assert_eq!(number, 1))
            }),
        ),
    ]
}

// 66
#[test]
fn no_statement_changes_a_row_but_the_ones_it_names() {
    let (_folder, store) = store();
    fill(&store);
    let kinds = [KindVersion { kind: "k".into(), version: 1 }];
    let query = ClaimQuery { worker: 9, queue: "q", kinds: &kinds, suspects: false, most: 10, now: 5 };
    let claim = |tx: &mut dyn Tx| -> Result<Fence> {
        tx.insert(&job("q", State::Ready))?;
        Ok(tx.claim(&query)?.remove(0).fence)
    };
    for (name, step) in steps() {
        let before = bystanders(&store, &[]);
        let fence = write(&store, |tx| claim(tx));
        write(&store, |tx| step(tx, &fence));
        assert_eq!(bystanders(&store, &[fence.id]), before, "{name}");
        write(&store, |tx| tx.finish_waiting(fence.id, &End::from_outside(Outcome::Dead, 5)));
        write(&store, |tx| tx.finish(&fence, &End::from_outside(Outcome::Dead, 5)));
    }
}
