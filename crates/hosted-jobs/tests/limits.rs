//! Limits per key, pauses, retention and events.

mod support;

use hosted_jobs::{Enqueue, JobError, JobEventKind, JobState, Outcome, Synchronous, rusqlite};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::*;

on_both_stores!(
    never_more_than_the_limit_run,
    held_jobs_delay_nobody_else,
    a_place_is_free_again_after_every_kind_of_end,
    the_smallest_limit_of_a_key_counts,
    a_paused_queue_and_a_paused_kind_start_nothing,
    a_pause_takes_back_what_was_claimed_ahead,
    finished_jobs_go_after_their_time,
    every_transition_is_one_event_in_order,
    a_slow_listener_is_told_how_many_events_are_missing,
);

// 51
fn never_more_than_the_limit_run(on: On) {
    let (store, record) = (on.live(), Record::default());
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (now.clone(), most.clone());
    let handlers = record.handlers_that(move |_, ctx| {
        let together = running.fetch_add(1, Ordering::SeqCst) + 1;
        peak.fetch_max(together, Ordering::SeqCst);
        // The first ones wait until as many run as may run.
        wait_until("three run together", || peak.load(Ordering::SeqCst) >= 3);
        std::thread::sleep(Duration::from_millis(1));
        running.fetch_sub(1, Ordering::SeqCst);
        if ctx.failed() == 0 && ctx.id() % 7 == 0 { Err(JobError::retry_in(Duration::ZERO, "once")) } else { Ok(()) }
    });
    let mut hosts = [workers(&store.jobs, 4, handlers.clone()), workers(&store.again(), 4, handlers)];
    store.jobs.enqueue_all((0..100).map(|_| Enqueue::new(&named("a")).limit(("shop", 7), 3))).unwrap();
    wait_until("all have succeeded", || store.jobs.stats().unwrap().succeeded == 100);
    hosts.iter_mut().for_each(|host| drop(host.stop(PATIENCE).unwrap()));
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

// 52
fn held_jobs_delay_nobody_else(on: On) {
    let (store, record) = (on.manual(), Record::default());
    store.jobs.enqueue_all((0..50).map(|_| Enqueue::new(&named("limited")).limit("k", 1))).unwrap();
    store.jobs.enqueue(&named("free")).unwrap();
    let jobs = store.jobs.clone();
    let handlers = record.handlers_that(move |job, _| {
        if job.0 == "limited" {
            let queue = jobs.stats()?.queues.remove(0);
            assert!(queue.held + queue.running <= 50 && queue.running == 1);
        }
        Ok(())
    });
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(record.all().len(), 51);
}

// 51
fn a_place_is_free_again_after_every_kind_of_end(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let handlers = record.handlers_that(|job, _| match job.0.as_str() {
        "dead" => Err(JobError::dead("no")),
        "fails" => Err("no".into()),
        "snoozes" => Err(JobError::snooze(HOUR)),
        "cancelled" => Err(JobError::cancelled()),
        _ => Ok(()),
    });
    let limited = |name: &str| Enqueue::new(&named(name)).limit("k", 1);
    let names = ["dead", "fails", "snoozes", "cancelled", "last"];
    let ids = store.jobs.enqueue_all(names.map(limited)).unwrap();
    let first = store.jobs.enqueue(limited("waits").priority(-1)).unwrap().id();
    store.jobs.cancel(first).unwrap();
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(record.all(), names);
    assert_eq!(store.state(ids[4].id()), JobState::Finished(Outcome::Succeeded));
    // What waited for its time comes back to the key in the same way.
    store.time.advance(HOUR);
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(record.count("fails"), 2);
}

fn the_smallest_limit_of_a_key_counts(on: On) {
    let store = on.manual();
    store.jobs.enqueue(Enqueue::new(&named("one")).limit("k", 1)).unwrap();
    store.jobs.enqueue_all((0..5).map(|_| Enqueue::new(&named("many")).limit("k", 5))).unwrap();
    let jobs = store.jobs.clone();
    let handlers = Record::default().handlers_that(move |job, _| {
        if job.0 == "one" {
            let queue = jobs.stats()?.queues.remove(0);
            assert_eq!((queue.running, queue.ready), (1, 0));
        }
        Ok(())
    });
    assert_eq!(store.jobs.drain(&handlers).unwrap().succeeded(), 6);
}

// 53
fn a_paused_queue_and_a_paused_kind_start_nothing(on: On) {
    let (store, record) = (on.manual(), Record::default());
    store.jobs.enqueue(Enqueue::new(&named("mail")).queue("mail")).unwrap();
    store.jobs.enqueue(&named("other queue")).unwrap();
    store.jobs.pause("mail").unwrap();
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["other queue"]);
    let stats = store.jobs.stats().unwrap();
    assert!(stats.queue("mail").unwrap().paused);
    store.jobs.resume("mail").unwrap();
    store.jobs.pause_kind("named").unwrap();
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all().len(), 1);
    assert_eq!(store.jobs.stats().unwrap().paused_kinds, ["named"]);
    store.jobs.resume_kind("named").unwrap();
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all().len(), 2);
}

// 53
fn a_pause_takes_back_what_was_claimed_ahead(on: On) {
    let (store, record, gate) = (on.live(), Record::default(), Gate::default());
    let opened = gate.clone();
    let handlers = record.handlers_that(move |job, _| {
        if job.0 == "block" {
            opened.wait();
        }
        Ok(())
    });
    let mut jobs: Vec<_> = (0..500).map(|_| Enqueue::new(&named("short"))).collect();
    jobs.push(Enqueue::new(&named("block")));
    jobs.extend((0..500).map(|_| Enqueue::new(&named("after"))));
    store.jobs.enqueue_all(jobs).unwrap();
    let mut host = workers(&store.jobs, 1, handlers);
    record.wait_for(501);
    store.again().pause("default").unwrap();
    wait_until("the others are ready again", || store.jobs.stats().unwrap().queues[0].ready == 500);
    gate.open();
    wait_until("nothing runs", || store.jobs.stats().unwrap().queues[0].running == 0);
    store.jobs.resume("default").unwrap();
    record.wait_for(1_001);
    host.stop(PATIENCE).unwrap();
}

// 54, 55
fn finished_jobs_go_after_their_time(on: On) {
    let store = on.manual_with(|builder| {
        let builder = builder.synchronous(Synchronous::Normal);
        builder.keep_succeeded(HOUR).keep_dead(HOUR * 3).keep_cancelled(HOUR * 2)
    });
    let handlers = Record::default().handlers_that(|job, _| match job.0.as_str() {
        "dead" => Err(JobError::dead("no")),
        "cancelled" => Err(JobError::cancelled()),
        _ => Ok(()),
    });
    let good = store.jobs.enqueue_all((0..2_500).map(|_| Enqueue::new(&named("good")))).unwrap();
    let others = store.jobs.enqueue_all([named("dead"), named("cancelled")].iter()).unwrap();
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(store.jobs.prune().unwrap(), 0);
    store.time.advance(HOUR + Duration::from_millis(1));
    assert_eq!(store.jobs.prune().unwrap(), 2_500);
    assert!(store.jobs.get(good[0].id()).unwrap().is_none());
    store.time.advance(HOUR);
    assert_eq!(store.jobs.prune().unwrap(), 1);
    assert!(store.jobs.get(others[1].id()).unwrap().is_none());
    store.time.advance(HOUR);
    assert_eq!(store.jobs.prune().unwrap(), 1);
    assert!(store.jobs.get(others[0].id()).unwrap().is_none());
}

// 62
fn every_transition_is_one_event_in_order(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let events = store.jobs.events();
    let handlers = record.handlers_that(|_, ctx| match ctx.failed() {
        0 => Err("no".into()),
        1 if !ctx.progress::<bool>()?.unwrap_or(false) => {
            ctx.checkpoint(&true)?;
            Err(JobError::snooze(HOUR))
        }
        _ => Ok(()),
    });
    store.jobs.enqueue(&named("a")).unwrap();
    for _ in 0..3 {
        store.jobs.drain(&handlers).unwrap();
        store.time.advance(HOUR);
    }
    let kinds: Vec<String> = events.try_iter().map(|event| format!("{:?}", event.what)).collect();
    let names: Vec<&str> = kinds.iter().map(|kind| kind.split([' ', '(']).next().unwrap()).collect();
    assert_eq!(names, ["Enqueued", "Started", "Failed", "Started", "Snoozed", "Started", "Finished"]);
}

// 62
fn a_slow_listener_is_told_how_many_events_are_missing(on: On) {
    let store = on.manual();
    let events = store.jobs.events();
    for _ in 0..11 {
        store.jobs.enqueue_all((0..100).map(|_| Enqueue::new(&named("a")))).unwrap();
    }
    let first: Vec<_> = events.try_iter().collect();
    assert_eq!(first.len(), 1_024);
    store.jobs.enqueue(&named("a")).unwrap();
    let kinds: Vec<_> = events.try_iter().map(|event| event.what).collect();
    assert_eq!(kinds, [JobEventKind::Lagged { events: 76 }, JobEventKind::Enqueued]);
}

// 51
#[test]
fn two_jobs_of_a_serial_key_cannot_run_even_by_a_wrong_statement() {
    let store = On::Sqlite.manual();
    store.jobs.enqueue_all((0..2).map(|_| Enqueue::new(&named("a")).limit("k", 1))).unwrap();
    let db = rusqlite::Connection::open(store.path()).unwrap();
    let error = db.execute("UPDATE hosted_job SET state = 1", []).unwrap_err().to_string();
    assert!(error.contains("UNIQUE"), "{error}");
}
