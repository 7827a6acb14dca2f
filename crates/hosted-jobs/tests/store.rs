//! Fences, transactions of jobs, rescue, files and migrations.

mod support;

use hosted_jobs::{
    Enqueue, Handlers, JobContext, JobError, JobState, Jobs, OpenError, Outcome, RunError, StopCause, rusqlite,
};
use std::time::Duration;
use support::*;

fn db(store: &Store) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(store.path()).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    db
}

/// Another worker takes the running job, as after a rescue.
fn steal(db: &rusqlite::Connection) {
    db.execute("UPDATE hosted_job SET claim = claim + 1, worker = 99 WHERE state = 2", []).unwrap();
}

// 24
#[test]
fn a_worker_that_no_longer_holds_the_claim_can_change_nothing() {
    for end in ["ok", "fails", "dead", "snoozes", "cancelled"] {
        let (store, record) = (On::Sqlite.manual(), Record::default());
        let path = store.path();
        let handlers = record.handlers_that(move |_, ctx| {
            let db = rusqlite::Connection::open(&path)?;
            ctx.checkpoint(&1)?;
            steal(&db);
            assert!(matches!(ctx.checkpoint(&2), Err(RunError::LostClaim(_))));
            assert_eq!(ctx.stop_cause(), Some(StopCause::LostClaim));
            assert!(matches!(ctx.transaction(), Err(RunError::LostClaim(_))));
            assert!(matches!(ctx.checkpoint_on(&db, &3), Err(RunError::LostClaim(_))));
            assert!(matches!(ctx.complete_on(&db), Err(RunError::LostClaim(_))));
            match end {
                "fails" => Err("no".into()),
                "dead" => Err(JobError::dead("no")),
                "snoozes" => Err(JobError::snooze(HOUR)),
                "cancelled" => Err(JobError::cancelled()),
                _ => Ok(()),
            }
        });
        let id = store.jobs.enqueue(&named("a")).unwrap().id();
        store.jobs.drain(&handlers).unwrap();
        let info = store.get(id);
        assert_eq!((info.state, info.claims, info.worker, info.failures), (JobState::Running, 2, Some(99), 0), "{end}");
        assert_eq!((info.progress::<i32>(), info.error), (Some(1), None));
    }
}

// 25
#[test]
fn complete_on_and_checkpoint_on_commit_with_the_users_rows_or_not_at_all() {
    let (store, record) = (On::Sqlite.manual(), Record::default());
    db(&store).execute_batch("CREATE TABLE effect(name TEXT)").unwrap();
    let handlers = record.handlers_that(|job, ctx| {
        let tx = ctx.transaction()?;
        tx.execute("INSERT INTO effect VALUES (?1)", [&job.0])?;
        ctx.checkpoint_on(&tx, &7)?;
        ctx.enqueue_on(&tx, &Other(1))?;
        ctx.output(&"result")?;
        ctx.complete_on(&tx)?;
        if job.0 == "commits" {
            tx.commit()?
        } else {
            drop(tx)
        }
        Err("after the end".into())
    });
    let commits = store.jobs.enqueue(&named("commits")).unwrap().id();
    let drops = store.jobs.enqueue(&named("drops")).unwrap().id();
    store.jobs.drain(&handlers).unwrap();
    let effects: Vec<String> = {
        let db = db(&store);
        let mut rows = db.prepare("SELECT name FROM effect").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert_eq!(effects, ["commits"]);
    let done = store.get(commits);
    assert_eq!((done.state, done.failures), (JobState::Finished(Outcome::Succeeded), 0));
    assert_eq!((done.progress(), done.output::<String>()), (Some(7), Some("result".to_owned())));
    let back = store.get(drops);
    assert_eq!((back.state, back.failures, back.progress::<i32>()), (JobState::Scheduled, 1, None));
    assert_eq!(store.jobs.stats().unwrap().unhandled.len(), 1, "one `Other` was enqueued");
}

/// Leaves a running job of a worker whose process is dead.
fn die_under(store: &Store, ids: &[i64]) {
    let db = db(store);
    db.execute("INSERT OR REPLACE INTO hosted_worker VALUES (99, 1, 'gone', 0, '[]', 0)", []).unwrap();
    for id in ids {
        let sql = "UPDATE hosted_job SET state = 2, worker = 99, claim = claim + 1 WHERE id = ?1 AND state = 1";
        assert_eq!(db.execute(sql, [id]).unwrap(), 1);
    }
}

// 11, 28
#[test]
fn a_job_of_a_dead_process_runs_again_and_the_third_death_kills_it() {
    let (store, record) = (On::Sqlite.manual(), Record::default());
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    let nothing = Handlers::new().handle(|_: Other, _: &JobContext| Ok(()));
    for lost in 1..=2 {
        die_under(&store, &[id]);
        store.jobs.drain(&nothing).unwrap(); // an old program rescues a kind that it does not know
        let info = store.get(id);
        assert_eq!((info.state, info.lost, info.failures), (JobState::Ready, lost, 0));
    }
    die_under(&store, &[id]);
    store.jobs.drain(&record.handlers()).unwrap();
    let info = store.get(id);
    assert_eq!((info.state, info.lost), (JobState::Finished(Outcome::Dead), 3));
    assert_eq!(info.error.as_deref(), Some("its process ended 3 times while it ran"));
    assert!(record.all().is_empty() && info.payload.is_some());
    assert!(store.jobs.retry(id).unwrap());
    assert_eq!(store.jobs.drain(&record.handlers()).unwrap().succeeded(), 1);
    assert!(store.jobs.stats().unwrap().workers.is_empty());
}

// 36
#[test]
fn a_job_of_a_process_that_was_stopping_comes_back_at_no_cost() {
    let store = On::Sqlite.manual();
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    die_under(&store, &[id]);
    db(&store).execute("UPDATE hosted_worker SET stopping = 1", []).unwrap();
    let record = Record::default();
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!((store.get(id).lost, record.all().len()), (0, 1));
}

#[test]
fn a_cancelled_job_of_a_dead_process_does_not_run_again() {
    let store = On::Sqlite.manual();
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    die_under(&store, &[id]);
    store.jobs.cancel(id).unwrap();
    let record = Record::default();
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(store.state(id), JobState::Finished(Outcome::Cancelled));
    assert!(record.all().is_empty());
}

// 51
#[test]
fn a_death_leaks_no_place_of_a_limit_key() {
    let (store, record) = (On::Sqlite.manual(), Record::default());
    let limited = |_| Enqueue::new(&named("a")).limit("k", 1);
    let ids = store.jobs.enqueue_all((0..3).map(limited)).unwrap();
    db(&store).execute("UPDATE hosted_job SET state = 1, lost = 2 WHERE id = 1", []).unwrap();
    die_under(&store, &[ids[0].id()]);
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(store.state(ids[0].id()), JobState::Finished(Outcome::Dead));
    assert_eq!(record.all().len(), 2);
}

// 29
#[test]
fn jobs_under_which_a_process_died_run_one_at_a_time() {
    let (store, record, gate) = (On::Sqlite.live(), Record::default(), Gate::default());
    let ids: Vec<i64> = store
        .jobs
        .enqueue_all((0..4).map(|_| Enqueue::new(&named("suspect"))))
        .unwrap()
        .iter()
        .map(|job| job.id())
        .collect();
    die_under(&store, &ids);
    let opened = gate.clone();
    let handlers = record.handlers_that(move |job, _| {
        if job.0 == "suspect" {
            opened.wait();
        }
        Ok(())
    });
    let mut host = workers(&store.jobs, 4, handlers);
    record.wait_for(1);
    // Others run beside the first suspect; no second suspect does.
    store.jobs.enqueue_all((0..20).map(|_| Enqueue::new(&named("other")))).unwrap();
    record.wait_for(21);
    assert_eq!(record.count("suspect"), 1);
    gate.open();
    record.wait_for(24);
    host.stop(PATIENCE).unwrap();
}

// 27
#[test]
fn a_running_host_rescues_the_jobs_of_a_process_that_dies() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    let mut host = workers(&store.jobs, 1, record.handlers());
    store.jobs.enqueue(&named("first")).unwrap();
    record.wait_for(1);
    let db = db(&store);
    let sql = "INSERT INTO hosted_job(kind, state, worker, claim, payload) VALUES ('named', 2, 99, 1, X'226122')";
    db.execute_batch(&format!("BEGIN; INSERT INTO hosted_worker VALUES (99, 1, 'gone', 0, '[]', 0); {sql}; COMMIT"))
        .unwrap();
    record.wait_for(2);
    host.stop(PATIENCE).unwrap();
    assert_eq!(record.all(), ["first", "a"]);
}

#[test]
fn a_job_inserted_by_a_shell_runs() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    let mut host = workers(&store.jobs, 1, record.handlers());
    let db = db(&store);
    db.execute("INSERT INTO hosted_job(kind, payload) VALUES ('named', CAST('\"shell\"' AS BLOB))", []).unwrap();
    record.wait_for(1);
    host.stop(PATIENCE).unwrap();
    assert_eq!(record.all(), ["shell"]);
}

// 56
#[test]
fn with_many_writers_no_call_fails_because_the_store_is_locked() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    db(&store).execute_batch("CREATE TABLE mine(n)").unwrap();
    let other = store.again();
    let mut hosts = [workers(&store.jobs, 2, record.handlers()), workers(&other, 2, record.handlers())];
    std::thread::scope(|scope| {
        for n in 0..8 {
            let jobs = if n % 2 == 0 { &store.jobs } else { &other };
            scope.spawn(move || {
                for _ in 0..100 {
                    jobs.enqueue(&named("a")).unwrap();
                }
            });
        }
        scope.spawn(|| {
            let db = db(&store);
            for n in 0..200 {
                db.execute("INSERT INTO mine VALUES (?1)", [n]).unwrap();
            }
        });
    });
    record.wait_for(800);
    hosts.iter_mut().for_each(|host| drop(host.stop(PATIENCE).unwrap()));
    assert_eq!(store.jobs.stats().unwrap().succeeded, 800);
}

// 56
#[test]
fn a_store_that_was_locked_for_a_while_is_used_again_at_once() {
    let store = On::Sqlite.live_with(|builder| builder.busy_limit(Duration::from_millis(50)));
    let record = Record::default();
    let mut host = workers(&store.jobs, 1, record.handlers());
    let events = store.jobs.events();
    let db = db(&store);
    db.execute_batch("BEGIN IMMEDIATE; INSERT INTO hosted_job(kind, payload) VALUES ('named', X'226122')").unwrap();
    store.jobs.ring();
    let failed = events.recv_timeout(PATIENCE).unwrap().to_string();
    assert!(failed.contains("the store failed") && failed.contains("locked"), "{failed}");
    db.execute_batch("COMMIT").unwrap();
    record.wait_for(1);
    host.stop(PATIENCE).unwrap();
}

#[test]
fn what_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "this is a text, and longer than the header of a database file would be".repeat(100))
        .unwrap();
    assert!(matches!(Jobs::open(&text), Err(OpenError::NotADatabase(_))));
    let error = Jobs::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("is a directory"), "{error}");
    let error = Jobs::open(":memory:").unwrap_err().to_string();
    assert!(error.contains("`Jobs::memory`"), "{error}");
    let error = Jobs::open(folder.path().join("missing/jobs.db")).unwrap_err().to_string();
    assert!(error.ends_with("missing` does not exist; create it"), "{error}");
    let error = Jobs::builder().prefix("a; DROP TABLE b").open(folder.path().join("x")).unwrap_err().to_string();
    assert!(error.contains("table prefix"), "{error}");
}

// 59
#[test]
fn a_newer_schema_is_refused_with_both_numbers_unless_it_is_compatible() {
    let store = On::Sqlite.live();
    let set = |version: u32, needed: u32| {
        let sql = "UPDATE hosted_meta SET value = ?2 WHERE key = ?1";
        let db = db(&store);
        db.execute(sql, ("schema_version", version.to_string())).unwrap();
        db.execute(sql, ("schema_needed", needed.to_string())).unwrap();
    };
    set(2, 1);
    Jobs::open(store.path()).unwrap().enqueue(&named("a")).unwrap();
    set(3, 2);
    let error = Jobs::open(store.path()).unwrap_err();
    assert!(matches!(error, OpenError::NewerSchema { found: 3, needed: 2, known: 1 }));
    assert_eq!(
        error.to_string(),
        "the tables have version 3, which needs a program that knows version 2; this program knows version 1: upgrade it"
    );
}

#[test]
fn many_processes_may_create_the_tables_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jobs.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Jobs::open(&path).unwrap().enqueue(&named("a")).unwrap());
        }
    });
    assert_eq!(Jobs::open(&path).unwrap().list(&Default::default()).unwrap().len(), 8);
}

#[test]
fn two_prefixes_in_one_file_are_two_stores() {
    let store = On::Sqlite.live();
    let other = Jobs::builder().prefix("other_").open(store.path()).unwrap();
    other.enqueue(&named("a")).unwrap();
    assert!(store.jobs.list(&Default::default()).unwrap().is_empty());
    assert_eq!(other.list(&Default::default()).unwrap().len(), 1);
    let statements = Jobs::builder().prefix("third_").migration();
    assert!(statements.contains("CREATE TABLE third_job") && !statements.contains("{p}"));
}

// 28
#[test]
fn the_number_of_deaths_that_a_job_survives_can_be_set() {
    let store = On::Sqlite.manual_with(|builder| builder.max_deaths(5));
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    let nothing = Handlers::new().handle(|_: Other, _: &JobContext| Ok(()));
    for deaths in 1..=5 {
        assert_eq!(store.state(id), JobState::Ready, "before death {deaths}");
        die_under(&store, &[id]);
        store.jobs.drain(&nothing).unwrap();
    }
    assert_eq!((store.state(id), store.get(id).lost), (JobState::Finished(Outcome::Dead), 5));
}

// 32
#[test]
fn a_restarted_process_is_a_new_worker() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    let mut ids = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let mut host = workers(&store.jobs, 1, record.handlers());
        let known = store.jobs.stats().unwrap().workers;
        // The same process, machine and program, and yet another worker.
        assert_eq!((known.len(), known[0].pid), (1, std::process::id()));
        assert!(ids.insert(known[0].id));
        host.stop(PATIENCE).unwrap();
    }
}

// 57
#[test]
fn a_log_that_a_reader_keeps_large_is_reported_and_shrinks_when_the_reader_is_gone() {
    let logged = log_lines();
    let (store, record) = (On::Sqlite.live(), Record::default());
    let log_size = || std::fs::metadata(format!("{}-wal", store.path().display())).unwrap().len();
    store.jobs.enqueue(&named("first")).unwrap();
    let reader = db(&store);
    reader.execute_batch("BEGIN; SELECT count(*) FROM hosted_job").unwrap();
    let large = "x".repeat(1_000_000);
    for _ in 0..70 {
        store.jobs.enqueue(Enqueue::new(&Large(large.clone()))).unwrap();
    }
    assert!(log_size() > 64 << 20);
    let mut host = workers(&store.jobs, 1, record.handlers());
    let is_reported = || logged.lock().unwrap().iter().any(|line| line.contains("a read transaction that is open"));
    wait_until("the large log is reported", is_reported);
    host.stop(PATIENCE).unwrap();
    reader.execute_batch("COMMIT").unwrap();
    let mut host = workers(&store.jobs, 1, record.handlers());
    wait_until("the log is small", || log_size() < 64 << 20);
    host.stop(PATIENCE).unwrap();
}
