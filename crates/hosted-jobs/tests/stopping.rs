//! What a stop does to jobs.

mod support;

use hosted::{Host, ServiceState};
use hosted_jobs::{Enqueue, Job, JobContext, JobState, Options, Outcome, StopCause};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use support::*;

on_both_stores!(
    from_the_stop_request_on_nothing_starts,
    a_job_that_heeds_its_token_is_not_cut_short_before_the_deadline,
    what_comes_back_because_of_the_stop_is_ready_and_has_paid_nothing,
    a_long_job_survives_thirty_stops_unpaid,
    a_job_that_ends_during_the_stop_is_done,
    a_job_that_hangs_is_named_and_stays_claimed,
    prefetched_jobs_are_given_back_at_the_stop,
    a_group_that_restarts_runs_jobs_again,
);

/// Stops the host, and calls `f` once every thread of the jobs has its stop request.
fn stop_meanwhile(host: &mut Host, f: impl FnOnce()) {
    let handle = host.handle();
    std::thread::scope(|scope| {
        let stop = scope.spawn(|| host.stop(PATIENCE).unwrap());
        wait_until("the threads have their stop request", || {
            let services = handle.services();
            let asked = |name: &str| name.strip_prefix("jobs/").is_some_and(|name| name.parse::<u32>().is_ok());
            let mut threads = services.iter().filter(|service| asked(&service.name));
            threads.all(|service| matches!(service.state, ServiceState::Stopping | ServiceState::Stopped))
        });
        f();
        stop.join().unwrap();
    });
}

// 33
fn from_the_stop_request_on_nothing_starts(on: On) {
    let (store, record, gate) = (on.live(), Record::default(), Gate::default());
    let opened = gate.clone();
    let handlers = record.handlers_that(move |_, _| {
        opened.wait();
        Ok(())
    });
    let mut host = workers(&store.jobs, 2, handlers);
    store.jobs.enqueue_all((0..10).map(|_| Enqueue::new(&named("a")))).unwrap();
    record.wait_for(2);
    stop_meanwhile(&mut host, || gate.open());
    assert_eq!(record.all().len(), 2);
    let stats = store.jobs.stats().unwrap();
    assert_eq!((stats.succeeded, stats.queues[0].ready, stats.queues[0].running), (2, 8, 0));
}

// 34
fn a_job_that_heeds_its_token_is_not_cut_short_before_the_deadline(on: On) {
    let (store, record) = (on.live(), Record::default());
    let (seen, began) = (record.clone(), Instant::now());
    let handlers = record.handlers_that(move |_, ctx| {
        ctx.wait();
        seen.add(format!("{:?}", ctx.stop_cause().unwrap()));
        seen.add(began.elapsed().as_millis().to_string());
        Ok(ctx.check()?)
    });
    let mut host = workers(&store.jobs, 1, handlers);
    store.jobs.enqueue(&named("a")).unwrap();
    record.wait_for(1);
    let asked = began.elapsed();
    host.stop(Duration::from_secs(3)).unwrap();
    let all = record.all();
    assert_eq!(all[1], "HostStop");
    // 3 s less 5 % that the host keeps, less 10 % for handing back. Never sooner.
    let cut = Duration::from_millis(all[2].parse().unwrap()) - asked;
    assert!(cut >= Duration::from_millis(2_300), "cut short after {cut:?}");
}

// 35
fn what_comes_back_because_of_the_stop_is_ready_and_has_paid_nothing(on: On) {
    let (store, record) = (on.live(), Record::default());
    let handlers = record.handlers_that(|_, ctx| Ok(ctx.sleep(PATIENCE)?));
    let mut host = workers(&store.jobs, 2, handlers);
    let ids = store.jobs.enqueue_all([named("a"), named("b")].iter()).unwrap();
    record.wait_for(2);
    host.stop(Duration::from_millis(600)).unwrap();
    for id in ids {
        let info = store.get(id.id());
        assert_eq!((info.state, info.failures, info.lost, info.error), (JobState::Ready, 0, 0, None));
    }
}

// 35
fn a_long_job_survives_thirty_stops_unpaid(on: On) {
    let (store, record) = (on.live(), Record::default());
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    for stops in 0..30 {
        let mut host = workers(&store.jobs, 1, record.handlers_that(|_, ctx| Ok(ctx.sleep(PATIENCE)?)));
        record.wait_for(stops + 1);
        let _ = host.stop(Duration::from_millis(100)); // the last commit may take longer; it is not lost
    }
    let mut host = workers(&store.jobs, 1, record.handlers());
    assert_eq!(store.wait_finished(id), Outcome::Succeeded);
    host.stop(PATIENCE).unwrap();
    let info = store.get(id);
    assert_eq!((info.failures, info.lost, info.claims), (0, 0, 31));
}

fn a_job_that_ends_during_the_stop_is_done(on: On) {
    let (store, record) = (on.live(), Record::default());
    let handlers = record.handlers_that(|_, ctx| {
        ctx.wait();
        Ok(())
    });
    let mut host = workers(&store.jobs, 1, handlers);
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    record.wait_for(1);
    host.stop(Duration::from_millis(600)).unwrap();
    assert_eq!(store.state(id), JobState::Finished(Outcome::Succeeded));
}

// 36
fn a_job_that_hangs_is_named_and_stays_claimed(on: On) {
    let (store, record, gate) = (on.live(), Record::default(), Gate::default());
    let opened = gate.clone();
    let handlers = record.handlers_that(move |_, _| {
        opened.wait();
        Ok(())
    });
    let mut host = workers(&store.jobs, 1, handlers);
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    record.wait_for(1);
    let error = host.stop(Duration::from_millis(500)).unwrap_err();
    assert!(error.report().to_string().contains("jobs/1"), "{}", error.report());
    // Another process does not take it, as this one lives.
    let record_of_other = Record::default();
    assert!(store.again().drain(&record_of_other.handlers()).unwrap().ids().is_empty());
    assert_eq!(store.state(id), JobState::Running);
    assert!(store.jobs.stats().unwrap().workers.iter().any(|worker| worker.stopping));
    gate.open();
    assert_eq!(store.wait_finished(id), Outcome::Succeeded, "its thread writes the result itself");
    host.stop(PATIENCE).unwrap();
}

// 33
fn prefetched_jobs_are_given_back_at_the_stop(on: On) {
    let (store, record, gate) = (on.live(), Record::default(), Gate::default());
    let opened = gate.clone();
    // Short jobs make the workers claim ahead; then one blocks the only thread.
    let handlers = record.handlers_that(move |job, _| {
        if job.0 == "block" {
            opened.wait();
        }
        Ok(())
    });
    let short = (0..500).map(|_| Enqueue::new(&named("short")));
    let block = Enqueue::new(&named("block"));
    let more = (0..500).map(|_| Enqueue::new(&named("after")));
    store.jobs.enqueue_all(short.chain([block]).chain(more)).unwrap();
    let mut host = workers(&store.jobs, 1, handlers);
    record.wait_for(501);
    stop_meanwhile(&mut host, || {
        wait_until("the others are ready again", || {
            let queue = store.jobs.stats().unwrap().queues.remove(0);
            (queue.ready, queue.running) == (500, 1)
        });
        gate.open();
    });
    assert_eq!(record.count("after"), 0);
    let infos = store.jobs.list(&Default::default()).unwrap();
    assert!(infos.iter().all(|job| (job.state, job.failures, job.lost) == (JobState::Ready, 0, 0)));
}

fn a_group_that_restarts_runs_jobs_again(on: On) {
    let (store, record) = (on.live(), Record::default());
    for round in 0..3 {
        let mut host = workers(&store.jobs, 2, record.handlers());
        store.jobs.enqueue(&named("a")).unwrap();
        record.wait_for(round + 1);
        host.stop(PATIENCE).unwrap();
    }
    assert!(store.jobs.stats().unwrap().workers.is_empty());
}

#[derive(Serialize, Deserialize)]
struct Stubborn;

impl Job for Stubborn {
    const KIND: &'static str = "stubborn";

    fn options() -> Options {
        Options::new().timeout(Duration::from_secs(3600))
    }
}

// 34
#[test]
fn the_stop_of_the_host_comes_before_a_later_timeout() {
    let (store, record) = (On::Memory.live(), Record::default());
    let seen = record.clone();
    let handlers = hosted_jobs::Handlers::new().handle(move |_: Stubborn, ctx: &JobContext| {
        seen.add("start");
        ctx.wait();
        assert_eq!(ctx.stop_cause(), Some(StopCause::HostStop));
        Ok(ctx.check()?)
    });
    let mut host = workers(&store.jobs, 1, handlers);
    let id = store.jobs.enqueue(&Stubborn).unwrap().id();
    record.wait_for(1);
    host.stop(Duration::from_millis(500)).unwrap();
    assert_eq!(store.state(id), JobState::Ready);
}

// 37
#[test]
fn the_stop_keeps_its_deadline_with_a_locked_database() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    let mut host = workers(&store.jobs, 2, record.handlers_that(|_, ctx| Ok(ctx.sleep(PATIENCE)?)));
    store.jobs.enqueue_all([named("a"), named("b")].iter()).unwrap();
    record.wait_for(2);
    let db = hosted_jobs::rusqlite::Connection::open(store.path()).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let _ = host.stop(Duration::from_secs(1));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(20), "the stop took {took:?}");
    db.execute_batch("COMMIT").unwrap();
    drop(host);
    // Nothing is lost: the jobs run in the next process.
    let other = store.again();
    let mut next = workers(&other, 2, record.handlers());
    record.wait_for(4);
    next.stop(PATIENCE).unwrap();
}

// 38
#[test]
fn workers_on_a_store_that_cannot_be_written_fail_the_start() {
    let store = On::Sqlite.live_with(|builder| builder.busy_limit(Duration::from_millis(50)));
    let db = hosted_jobs::rusqlite::Connection::open(store.path()).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut host = Host::new();
    host.add("jobs", store.jobs.workers(1, Record::default().handlers()));
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("locked"), "{error}");
}

// 37
#[test]
fn the_stop_keeps_its_deadline_with_a_database_that_has_vanished() {
    let (store, record) = (On::Sqlite.live(), Record::default());
    let mut host = workers(&store.jobs, 2, record.handlers_that(|_, ctx| Ok(ctx.sleep(PATIENCE)?)));
    store.jobs.enqueue_all([named("a"), named("b")].iter()).unwrap();
    record.wait_for(2);
    std::fs::remove_dir_all(store.path().parent().unwrap()).unwrap();
    let _ = host.stop(Duration::from_secs(1)); // it may or may not be able to write its end
    assert_eq!(record.all().len(), 2);
}
