//! What `Ok` from `enqueue` means, times, unique keys and replacement.

mod support;

use hosted_jobs::{Enqueue, EnqueueError, Job, JobState, Outcome, Unique, rusqlite};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::{Duration, SystemTime};
use support::*;

on_both_stores!(
    a_job_whose_time_comes_wakes_an_idle_worker,
    enqueue_all_takes_all_or_none,
    a_payload_over_the_limit_is_refused_with_both_sizes,
    what_does_not_serialize_is_refused_at_the_call,
    a_time_in_the_past_means_now,
    no_job_starts_before_its_time,
    invalid_names_and_keys_are_refused,
    until_started_keeps_others_out_until_the_job_starts,
    until_finished_keeps_others_out_until_the_job_ends,
    within_keeps_others_out_for_its_time_even_after_the_end,
    of_concurrent_enqueues_with_one_key_exactly_one_job_comes_to_be,
    replace_runs_once_with_the_last_payload,
    a_running_job_is_never_replaced,
    no_unique_key_stops_another_job,
    a_retried_job_does_not_take_its_key_again,
);

// 4
fn enqueue_all_takes_all_or_none(on: On) {
    let store = on.manual_with(|builder| builder.max_payload(100));
    let all = store.jobs.enqueue_all([named("a"), named("b")].iter()).unwrap();
    assert_eq!(all.iter().map(|job| job.id()).collect::<Vec<_>>(), [1, 2]);
    let result = store.jobs.enqueue_all([named("c"), named(&"x".repeat(200))].iter());
    assert!(matches!(result, Err(EnqueueError::TooLarge { .. })));
    assert_eq!(store.jobs.list(&Default::default()).unwrap().len(), 2);
}

// 5
fn a_payload_over_the_limit_is_refused_with_both_sizes(on: On) {
    let store = on.manual_with(|builder| builder.max_payload(100));
    let error = store.jobs.enqueue(&named(&"x".repeat(200))).unwrap_err();
    assert!(matches!(error, EnqueueError::TooLarge { bytes: 202, limit: 100 }), "{error}");
    assert!(error.to_string().contains("202 bytes") && error.to_string().contains("limit of 100"));
    assert!(store.jobs.list(&Default::default()).unwrap().is_empty());
    let just = named(&"x".repeat(98));
    store.jobs.enqueue(&just).unwrap();
}

#[derive(Deserialize)]
struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a lock is poisoned"))
    }
}

impl Job for Unserializable {
    const KIND: &'static str = "unserializable";
}

// 6
fn what_does_not_serialize_is_refused_at_the_call(on: On) {
    let store = on.manual();
    let error = store.jobs.enqueue(&Unserializable).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the job does not serialize: a lock is poisoned; change the field that JSON cannot represent"
    );
    let key: HashMap<(u8, u8), u8> = HashMap::from([((1, 2), 3)]); // JSON has no such keys
    let keyed = Enqueue::new(&named("a")).unique(Unique::until_started(&key));
    assert!(matches!(store.jobs.enqueue(keyed), Err(EnqueueError::Encode(_))));
    let limited = Enqueue::new(&named("a")).limit(&key, 1);
    assert!(matches!(store.jobs.enqueue(limited), Err(EnqueueError::Encode(_))));
    assert!(store.jobs.list(&Default::default()).unwrap().is_empty());
}

// 7
fn a_time_in_the_past_means_now(on: On) {
    let store = on.manual();
    let (record, past) = (Record::default(), SystemTime::UNIX_EPOCH);
    let job = store.jobs.enqueue_at(past, &named("old")).unwrap();
    store.jobs.enqueue_at(past - Duration::from_secs(1), &named("older")).unwrap();
    assert_eq!(store.state(job.id()), JobState::Ready);
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["old", "older"]);
}

// 8
fn no_job_starts_before_its_time(on: On) {
    let store = on.manual();
    let record = Record::default();
    store.jobs.enqueue_in(HOUR, &named("in an hour")).unwrap();
    store.jobs.enqueue_at(store.time.clock().system_time() + HOUR * 2, &named("in two")).unwrap();
    store.time.advance(HOUR - Duration::from_millis(1));
    store.jobs.drain(&record.handlers()).unwrap();
    assert!(record.all().is_empty());
    store.time.advance(Duration::from_millis(1));
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["in an hour"]);
    store.time.advance(HOUR);
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["in an hour", "in two"]);
}

fn invalid_names_and_keys_are_refused(on: On) {
    let store = on.manual();
    let refused = |job: Enqueue| store.jobs.enqueue(job).unwrap_err().to_string();
    assert_eq!(refused(Enqueue::new(&named("a")).queue("")), "invalid job: the name of the queue is empty");
    let long = "k".repeat(2_000);
    let error = refused(Enqueue::new(&named("a")).unique(Unique::until_started(&long)));
    assert_eq!(error, "invalid job: a key has 2002 bytes, more than the limit of 1024; use a hash of it");
    let error = refused(Enqueue::new(&named("a")).limit(&long, 1));
    assert!(error.contains("2002 bytes"), "{error}");
    assert!(store.jobs.list(&Default::default()).unwrap().is_empty());
}

// 39
fn until_started_keeps_others_out_until_the_job_starts(on: On) {
    let store = on.manual();
    let record = Record::default();
    let keyed = |name: &str| Enqueue::new(&named(name)).unique(Unique::until_started(7));
    let first = store.jobs.enqueue(keyed("first").delay(HOUR)).unwrap();
    let second = store.jobs.enqueue(keyed("second")).unwrap();
    assert!(first.is_new() && !second.is_new() && first.id() == second.id());
    store.time.advance(HOUR);
    let jobs = store.jobs.clone();
    let handlers = record.handlers_that(move |job, _| {
        if job.0 == "first" {
            assert!(jobs.enqueue(keyed("while it runs"))?.is_new());
        }
        Ok(())
    });
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(record.all(), ["first", "while it runs"]);
}

// 39
fn until_finished_keeps_others_out_until_the_job_ends(on: On) {
    let store = on.manual();
    let record = Record::default();
    let keyed = |name: &str| Enqueue::new(&named(name)).unique(Unique::until_finished(7));
    let first = store.jobs.enqueue(keyed("first")).unwrap().id();
    let jobs = store.jobs.clone();
    let handlers = record.handlers_that(move |_, ctx| {
        let again = jobs.enqueue(keyed("again"))?;
        assert!(!again.is_new() && again.id() == ctx.id());
        if ctx.failed() == 0 { Err("once".into()) } else { Ok(()) }
    });
    store.jobs.drain(&handlers).unwrap();
    assert!(!store.jobs.enqueue(keyed("waits for its retry")).unwrap().is_new());
    store.time.advance(HOUR);
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(store.state(first), JobState::Finished(Outcome::Succeeded));
    assert!(store.jobs.enqueue(keyed("after the end")).unwrap().is_new());
}

// 39
fn within_keeps_others_out_for_its_time_even_after_the_end(on: On) {
    let store = on.manual();
    let record = Record::default();
    let keyed = || Enqueue::new(&named("a")).unique(Unique::within(7, HOUR));
    let first = store.jobs.enqueue(keyed()).unwrap();
    store.jobs.drain(&record.handlers()).unwrap();
    store.time.advance(HOUR - Duration::from_millis(1));
    let second = store.jobs.enqueue(keyed()).unwrap();
    assert!(!second.is_new() && second.id() == first.id());
    store.time.advance(Duration::from_millis(1));
    assert!(store.jobs.enqueue(keyed()).unwrap().is_new());
}

// 40
fn of_concurrent_enqueues_with_one_key_exactly_one_job_comes_to_be(on: On) {
    let store = on.live();
    for round in 0..20 {
        let ids: Vec<(i64, bool)> = std::thread::scope(|scope| {
            let enqueue = |n: i32| {
                // Half of them through another handle: another connection, as of another process.
                let jobs = if n % 2 == 0 { store.jobs.clone() } else { store.again() };
                move || {
                    let job = Enqueue::new(&named("a")).unique(Unique::until_finished(round));
                    let job = jobs.enqueue(if n % 3 == 0 { job.replace() } else { job }).unwrap();
                    (job.id(), job.is_new())
                }
            };
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(enqueue(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(ids.iter().filter(|(_, new)| *new).count(), 1);
        assert!(ids.iter().all(|(id, _)| *id == ids[0].0 && *id > 0));
    }
    assert_eq!(store.jobs.list(&Default::default()).unwrap().len(), 20);
}

// 41
fn replace_runs_once_with_the_last_payload(on: On) {
    let store = on.manual();
    let record = Record::default();
    let change = |name: &str| {
        let job = Enqueue::new(&named(name)).unique(Unique::until_started("search index")).delay(HOUR);
        store.jobs.enqueue(job.replace()).unwrap()
    };
    let first = change("1");
    store.time.advance(HOUR / 2);
    let second = change("2");
    assert!(first.is_new() && second.is_replaced() && first.id() == second.id());
    store.time.advance(HOUR / 2);
    store.jobs.drain(&record.handlers()).unwrap();
    assert!(record.all().is_empty(), "the time begins anew with each replacement");
    store.time.advance(HOUR / 2);
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["2"]);
    assert!(change("3").is_new());
}

// 41
fn a_running_job_is_never_replaced(on: On) {
    let store = on.manual();
    let record = Record::default();
    let jobs = store.jobs.clone();
    let keyed = |name: &str| Enqueue::new(&named(name)).unique(Unique::until_finished(1)).replace();
    store.jobs.enqueue(keyed("1")).unwrap();
    let handlers = record.handlers_that(move |_, _| {
        let second = jobs.enqueue(keyed("2"))?;
        assert!(!second.is_new() && !second.is_replaced());
        Ok(())
    });
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(record.all(), ["1"]);
}

// 42
fn no_unique_key_stops_another_job(on: On) {
    let store = on.manual();
    let record = Record::default();
    // Of every state a job may be in while a second one of its key arrives, and of every step that follows.
    let keyed = |name: &str| Enqueue::new(&named(name)).unique(Unique::until_started(1));
    store.jobs.enqueue(keyed("fails")).unwrap();
    let jobs = store.jobs.clone();
    let handlers = record.handlers_that(move |job, ctx| {
        if job.0 == "fails" && ctx.failed() < 2 {
            // The key is free while it runs, so a second job takes it; then this one goes back to waiting.
            jobs.enqueue(keyed("second"))?;
            return Err("again".into());
        }
        Ok(())
    });
    for _ in 0..5 {
        store.jobs.drain(&handlers).unwrap();
        store.time.advance(HOUR);
    }
    assert_eq!(record.count("fails"), 3);
    assert_eq!(record.count("second"), 2);
    assert!(store.jobs.list(&Default::default()).unwrap().is_empty());
}

// 42
fn a_retried_job_does_not_take_its_key_again(on: On) {
    let store = on.manual();
    let keyed = || Enqueue::new(&named("a")).unique(Unique::until_finished(1));
    let dead = store.jobs.enqueue(keyed()).unwrap().id();
    store.jobs.cancel(dead).unwrap();
    assert!(store.jobs.enqueue(keyed()).unwrap().is_new());
    assert!(store.jobs.retry(dead).unwrap());
    assert_eq!(store.jobs.list(&Default::default()).unwrap().len(), 2);
}

// 1
#[test]
fn ok_from_enqueue_means_that_another_handle_sees_the_job() {
    let store = On::Sqlite.live();
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    assert_eq!(store.again().get(id).unwrap().unwrap().state, JobState::Ready);
}

// 2, 3
#[test]
fn a_job_in_a_transaction_that_rolls_back_is_never_seen() {
    let store = On::Sqlite.live();
    let record = Record::default();
    let mut host = workers(&store.jobs, 2, record.handlers());
    let mut db = rusqlite::Connection::open(store.path()).unwrap();
    for n in 0..50 {
        let mut tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
        store.jobs.enqueue_on(&mut tx, &named(if n % 2 == 0 { "kept" } else { "gone" })).unwrap();
        assert_eq!(store.jobs.get(n + 1).unwrap().map(|job| job.id), None, "nor before the commit");
        if n % 2 == 0 { tx.commit().unwrap() } else { tx.rollback().unwrap() }
    }
    record.wait_for(25);
    host.stop(PATIENCE).unwrap();
    assert_eq!(record.count("kept"), 25);
    assert_eq!(record.count("gone"), 0);
}

#[test]
fn a_transaction_that_began_with_a_read_is_refused_with_the_remedy() {
    let store = On::Sqlite.live();
    let mut db = rusqlite::Connection::open(store.path()).unwrap();
    let tx = db.transaction().unwrap();
    tx.query_row("SELECT count(*) FROM hosted_job", [], |row| row.get::<_, i64>(0)).unwrap();
    store.jobs.enqueue(&named("somebody else writes")).unwrap();
    let error = store.jobs.enqueue_on(&tx, &named("a")).unwrap_err().to_string();
    assert!(error.contains("began with a read") && error.contains("BEGIN IMMEDIATE"), "{error}");
    tx.rollback().unwrap();
    assert_eq!(store.jobs.list(&Default::default()).unwrap().len(), 1);
}

#[test]
fn an_enqueue_inside_an_open_write_transaction_names_enqueue_on() {
    let store = On::Sqlite.live_with(|builder| builder.busy_limit(Duration::from_millis(50)));
    let mut db = rusqlite::Connection::open(store.path()).unwrap();
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let error = store.jobs.enqueue(&named("a")).unwrap_err();
    assert!(matches!(error, EnqueueError::Contended(_)));
    assert!(error.to_string().contains("use `enqueue_on`"), "{error}");
    tx.commit().unwrap();
    store.jobs.enqueue(&named("a")).unwrap();
}

#[test]
fn a_failed_enqueue_on_leaves_the_rest_of_the_transaction_as_it_was() {
    let store = On::Sqlite.live_with(|builder| builder.max_payload(50));
    let mut db = rusqlite::Connection::open(store.path()).unwrap();
    db.execute_batch("CREATE TABLE customer(name TEXT)").unwrap();
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    tx.execute("INSERT INTO customer VALUES ('Ada')", []).unwrap();
    store.jobs.enqueue_on(&tx, &named(&"x".repeat(100))).unwrap_err();
    store.jobs.enqueue_on(&tx, &named("a")).unwrap();
    tx.commit().unwrap();
    let customers: i64 = db.query_row("SELECT count(*) FROM customer", [], |row| row.get(0)).unwrap();
    assert_eq!((customers, store.jobs.list(&Default::default()).unwrap().len()), (1, 1));
}

#[test]
fn the_statement_stores_a_job_through_any_driver() {
    let store = On::Sqlite.manual();
    let record = Record::default();
    let db = rusqlite::Connection::open(store.path()).unwrap();
    let keyed = || Enqueue::new(&named("a")).unique(Unique::until_started(1)).limit("k", 2).priority(3);
    let statement = store.jobs.statement(keyed()).unwrap();
    let insert = || {
        let mut insert = db.prepare(statement.sql()).unwrap();
        let ids = insert.query_map(rusqlite::params_from_iter(statement.params()), |row| row.get(0)).unwrap();
        ids.collect::<Result<Vec<i64>, _>>().unwrap()
    };
    assert_eq!(insert(), [1]);
    assert!(insert().is_empty(), "another job holds the key");
    assert!(!store.jobs.enqueue(keyed()).unwrap().is_new());
    assert!(store.jobs.statement(keyed().replace()).unwrap_err().to_string().contains("`enqueue_on`"));
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["a"]);
}

// 8
fn a_job_whose_time_comes_wakes_an_idle_worker(on: On) {
    let (store, record) = (on.live(), Record::default());
    let mut host = workers(&store.jobs, 1, record.handlers());
    let wait = std::time::Duration::from_millis(150);
    let began = std::time::Instant::now();
    store.jobs.enqueue_in(wait, &named("later")).unwrap();
    store.again().enqueue_in(wait, &named("from another handle")).unwrap();
    record.wait_for(2);
    assert!(began.elapsed() >= wait);
    host.stop(PATIENCE).unwrap();
}
