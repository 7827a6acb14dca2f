//! Claims, priorities, kinds, failures, retries, timeouts, cancellation and checkpoints.

mod support;

use hosted_jobs::{
    Cancelling, Decision, Enqueue, Handlers, Job, JobContext, JobError, JobState, Jobs, Options, Outcome, RunError,
    StopCause,
};
use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, Instant};
use support::*;

on_both_stores!(
    ready_jobs_run_by_priority_then_by_id,
    a_kind_without_a_handler_is_never_touched,
    a_version_newer_than_the_handlers_is_never_touched,
    an_older_version_is_upgraded,
    a_renamed_kind_runs_under_its_alias,
    every_queue_that_has_work_gets_its_share,
    only_the_named_queues_are_served,
    a_panic_an_error_and_bad_data_cost_one_failure_each,
    a_failure_keeps_its_error_and_waits_for_its_backoff,
    a_job_is_dead_after_its_last_failure,
    dead_is_dead_at_once_and_retry_makes_it_as_new,
    snooze_costs_no_failure_and_is_exact,
    retry_in_is_exact_and_counts,
    the_policy_decides_by_the_type_of_the_error,
    a_long_error_is_stored_cut,
    at_its_timeout_a_jobs_token_stops,
    a_job_that_ignores_its_timeout_is_never_started_twice,
    cancel_takes_a_waiting_job_at_once,
    cancel_stops_the_token_of_a_running_job,
    a_cancelled_job_that_fails_does_not_run_again,
    a_checkpoint_is_there_for_the_next_run,
    an_output_is_stored_with_the_end,
    many_threads_run_each_job_once,
    a_process_claims_no_more_long_jobs_than_it_has_threads,
    handlers_with_a_mistake_fail_the_start,
);

// 10, 63
fn ready_jobs_run_by_priority_then_by_id(on: On) {
    let (store, record) = (on.manual(), Record::default());
    for (name, priority) in [("c", 0), ("d", 0), ("a", -5), ("e", 7), ("b", -5)] {
        store.jobs.enqueue(Enqueue::new(&named(name)).priority(priority)).unwrap();
    }
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["a", "b", "c", "d", "e"]);
}

// 11
fn a_kind_without_a_handler_is_never_touched(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let other = store.jobs.enqueue(&Other(1)).unwrap().id();
    store.jobs.enqueue(&named("a")).unwrap();
    assert_eq!(store.jobs.drain(&record.handlers()).unwrap().ids().len(), 1);
    let info = store.get(other);
    assert_eq!((info.state, info.claims, info.failures), (JobState::Ready, 0, 0));
    let unhandled = store.jobs.stats().unwrap().unhandled;
    assert_eq!((unhandled[0].kind.as_str(), unhandled[0].ready), ("other", 1));
}

#[derive(Serialize, Deserialize)]
struct NamedV3(String, u32);

impl Job for NamedV3 {
    const KIND: &'static str = "named";
    const VERSION: u32 = 3;
}

// 12
fn a_version_newer_than_the_handlers_is_never_touched(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let newer = store.jobs.enqueue(&NamedV3("new".into(), 1)).unwrap().id();
    store.jobs.enqueue(&named("old")).unwrap();
    store.jobs.drain(&record.handlers()).unwrap();
    assert_eq!(record.all(), ["old"]);
    let info = store.get(newer);
    assert_eq!((info.state, info.claims), (JobState::Ready, 0));
}

// 12
fn an_older_version_is_upgraded(on: On) {
    let (store, record) = (on.manual(), Record::default());
    store.jobs.enqueue(&named("old")).unwrap();
    store.jobs.enqueue(&NamedV3("new".into(), 1)).unwrap();
    let seen = record.clone();
    let handlers = Handlers::new()
        .handle(move |job: NamedV3, _: &JobContext| {
            seen.add(format!("{} {}", job.0, job.1));
            Ok(())
        })
        .handle_version(1, |old: Named| NamedV3(old.0, 0));
    assert_eq!(store.jobs.drain(&handlers).unwrap().succeeded(), 2);
    assert_eq!(record.all(), ["old 0", "new 1"]);
}

#[derive(Serialize, Deserialize)]
struct Renamed(String);

impl Job for Renamed {
    const KIND: &'static str = "renamed";
}

// 12
fn a_renamed_kind_runs_under_its_alias(on: On) {
    let (store, record) = (on.manual(), Record::default());
    store.jobs.enqueue(&named("old name")).unwrap();
    store.jobs.enqueue(&Renamed("new name".into())).unwrap();
    let seen = record.clone();
    let handlers = Handlers::new().handle(move |job: Renamed, ctx: &JobContext| {
        seen.add(format!("{}: {}", ctx.kind(), job.0));
        Ok(())
    });
    store.jobs.drain(&handlers.alias("named")).unwrap();
    assert_eq!(record.all().len(), 2);
    assert!(record.all().contains(&"named: old name".to_owned()));
}

// 15
fn every_queue_that_has_work_gets_its_share(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let busy = (0..100).map(|_| Enqueue::new(&named("busy")).priority(-9));
    store.jobs.enqueue_all(busy).unwrap();
    store.jobs.enqueue_all((0..5).map(|_| Enqueue::new(&named("quiet")).queue("quiet"))).unwrap();
    store.jobs.drain(&record.handlers()).unwrap();
    let all = record.all();
    let last_quiet = all.iter().rposition(|name| name == "quiet").unwrap();
    assert!(last_quiet < 16 * 5, "the fifth quiet job ran only as number {last_quiet}");
    assert_eq!(all.len(), 105);
}

// 15
fn only_the_named_queues_are_served(on: On) {
    let (store, record) = (on.manual(), Record::default());
    for queue in ["a", "b", "c"] {
        store.jobs.enqueue(Enqueue::new(&named(queue)).queue(queue)).unwrap();
    }
    store.jobs.drain(&record.handlers().queues(["c", "a"])).unwrap();
    assert_eq!(record.count("b"), 0);
    assert_eq!(record.all().len(), 2);
}

#[derive(Serialize, Deserialize)]
struct BadData(bool);

impl Job for BadData {
    const KIND: &'static str = "named"; // not what the handler of `Named` can read
}

// 16
fn a_panic_an_error_and_bad_data_cost_one_failure_each(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let handlers = record.handlers_that(|job, _| match job.0.as_str() {
        "panics" => panic!("on purpose"),
        "fails" => Err(io::Error::other("disk full").into()),
        _ => Ok(()),
    });
    let panics = store.jobs.enqueue(&named("panics")).unwrap().id();
    let fails = store.jobs.enqueue(&named("fails")).unwrap().id();
    let bad = store.jobs.enqueue(&BadData(true)).unwrap().id();
    store.jobs.enqueue(&named("good")).unwrap();
    let drained = store.jobs.drain(&handlers).unwrap();
    assert_eq!((drained.failed(), drained.succeeded()), (3, 1));
    for (id, error) in [(panics, "panicked: on purpose"), (fails, "disk full"), (bad, "cannot read the payload")] {
        let info = store.get(id);
        assert_eq!((info.state, info.failures), (JobState::Scheduled, 1));
        assert!(info.error.as_deref().unwrap().starts_with(error), "{:?}", info.error);
    }
}

// 17
fn a_failure_keeps_its_error_and_waits_for_its_backoff(on: On) {
    let store = on.manual();
    let handlers = Handlers::new().handle(|_: Named, ctx: &JobContext| Err(format!("no {}", ctx.failed()).into()));
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    for (failures, longest) in [(1, 6), (2, 18), (3, 54), (4, 162)] {
        let now = store.time.clock().system_time();
        store.jobs.drain(&handlers).unwrap();
        let info = store.get(id);
        let wait = info.run_at().unwrap().duration_since(now).unwrap();
        let longest = Duration::from_secs(longest);
        assert!((longest / 2..=longest).contains(&wait), "{wait:?} after {failures} failures");
        assert_eq!((info.failures, info.error.unwrap()), (failures, format!("no {}", failures - 1)));
        store.time.advance(wait);
    }
}

// 17
fn a_job_is_dead_after_its_last_failure(on: On) {
    let store = on.manual();
    let handlers = Handlers::new().handle(|_: Named, _: &JobContext| Err("no".into()));
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    let mut runs = 0;
    while store.state(id) != JobState::Finished(Outcome::Dead) {
        runs += store.jobs.drain(&handlers).unwrap().ids().len();
        store.time.advance(HOUR * 6);
        assert!(runs <= 20);
    }
    let info = store.get(id);
    assert_eq!((runs, info.failures, info.error.as_deref()), (20, 20, Some("no")));
    assert_eq!(info.payload.unwrap(), b"\"a\"");
}

// 18, 21
fn dead_is_dead_at_once_and_retry_makes_it_as_new(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let fails = record.handlers_that(|_, _| Err(JobError::dead("no such customer")));
    let id = store.jobs.enqueue(Enqueue::new(&named("a")).queue("mail").priority(3)).unwrap().id();
    assert_eq!(store.jobs.drain(&fails).unwrap().dead(), 1);
    let dead = store.get(id);
    assert_eq!((dead.failures, dead.error.as_deref()), (1, Some("no such customer")));
    assert!(store.jobs.retry(id).unwrap());
    let again = store.get(id);
    assert_eq!((again.state, again.failures, again.error), (JobState::Ready, 0, None));
    assert_eq!((again.queue.as_str(), again.priority), ("mail", 3));
    assert_eq!(store.jobs.drain(&record.handlers()).unwrap().succeeded(), 1);
    assert!(!store.jobs.retry(id).unwrap(), "a job that succeeded is not run again");
    assert!(store.jobs.delete(id).unwrap());
    assert!(store.jobs.get(id).unwrap().is_none());
}

// 19
fn snooze_costs_no_failure_and_is_exact(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let now = store.time.clock().system_time();
    let handlers = record.handlers_that(|_, ctx| match ctx.is_retry() {
        false => Err(JobError::snooze(HOUR)),
        true => Ok(()),
    });
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    assert_eq!(store.jobs.drain(&handlers).unwrap().put_back(), 1);
    let info = store.get(id);
    assert_eq!((info.failures, info.run_at().unwrap()), (0, now + HOUR));
    store.time.advance(HOUR);
    assert_eq!(store.jobs.drain(&handlers).unwrap().succeeded(), 1);
}

// 20
fn retry_in_is_exact_and_counts(on: On) {
    let store = on.manual();
    let now = store.time.clock().system_time();
    let handlers = Handlers::new().handle(|_: Named, _: &JobContext| Err(JobError::retry_in(HOUR, "429")));
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    store.jobs.drain(&handlers).unwrap();
    let info = store.get(id);
    assert_eq!((info.failures, info.run_at().unwrap()), (1, now + HOUR));
}

#[derive(Serialize, Deserialize)]
struct WithPolicy(u8);

impl Job for WithPolicy {
    const KIND: &'static str = "with_policy";

    fn options() -> Options {
        Options::new().on_error(|error, _| match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::NotFound) => Decision::Dead,
            Some(io::ErrorKind::TimedOut) => Decision::RetryIn(HOUR),
            Some(io::ErrorKind::Other) => panic!("the policy panics"),
            _ => Decision::Snooze(HOUR),
        })
    }
}

// 18
fn the_policy_decides_by_the_type_of_the_error(on: On) {
    let store = on.manual();
    let now = store.time.clock().system_time();
    let handlers = Handlers::new().handle(|job: WithPolicy, _: &JobContext| {
        let kinds = [io::ErrorKind::NotFound, io::ErrorKind::TimedOut, io::ErrorKind::BrokenPipe, io::ErrorKind::Other];
        Err(io::Error::from(kinds[usize::from(job.0)]).into())
    });
    let ids = store.jobs.enqueue_all((0..4).map(|n| Enqueue::new(&WithPolicy(n)))).unwrap();
    store.jobs.drain(&handlers).unwrap();
    let infos: Vec<_> = ids.iter().map(|job| store.get(job.id())).collect();
    assert_eq!(infos[0].state, JobState::Finished(Outcome::Dead));
    assert_eq!((infos[1].failures, infos[1].run_at()), (1, Some(now + HOUR)));
    assert_eq!((infos[2].failures, infos[2].run_at()), (0, Some(now + HOUR)));
    assert!(infos[3].error.as_deref().unwrap().contains("panicked: the policy panics"));
}

// 17
fn a_long_error_is_stored_cut(on: On) {
    let store = on.manual();
    let handlers = Handlers::new().handle(|_: Named, _: &JobContext| Err("x".repeat(10 << 20).into()));
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(store.get(id).error.unwrap().len(), 8 << 10);
}

#[derive(Serialize, Deserialize)]
struct Slow(String);

impl Job for Slow {
    const KIND: &'static str = "slow";

    fn options() -> Options {
        Options::new().timeout(Duration::from_millis(20)).max_failures(1)
    }
}

// 22
fn at_its_timeout_a_jobs_token_stops(on: On) {
    let (store, record) = (on.live(), Record::default());
    let seen = record.clone();
    let handlers = Handlers::new().handle(move |_: Slow, ctx: &JobContext| {
        assert!(ctx.deadline().is_some_and(|at| at > Instant::now() - PATIENCE));
        let result = ctx.sleep(PATIENCE);
        seen.add(format!("{:?}", ctx.stop_cause().unwrap()));
        Ok(result?)
    });
    let mut host = workers(&store.jobs, 1, handlers);
    let id = store.jobs.enqueue(&Slow("a".into())).unwrap().id();
    assert_eq!(store.wait_finished(id), Outcome::Dead);
    host.stop(PATIENCE).unwrap();
    assert_eq!(record.all(), ["TimedOut"]);
    assert_eq!(store.get(id).error.as_deref(), Some("exceeded its timeout"));
}

// 22
fn a_job_that_ignores_its_timeout_is_never_started_twice(on: On) {
    let (store, record, gate) = (on.live(), Record::default(), Gate::default());
    let (seen, opened) = (record.clone(), gate.clone());
    let handlers = Handlers::new().handle(move |_: Slow, ctx: &JobContext| {
        seen.add("start");
        ctx.wait(); // the timeout
        opened.wait();
        Ok(())
    });
    let mut host = workers(&store.jobs, 2, handlers);
    let id = store.jobs.enqueue(&Slow("a".into())).unwrap().id();
    record.wait_for(1);
    // Other jobs come and go meanwhile, and so do claims.
    for _ in 0..20 {
        store.jobs.enqueue(&named("foreign")).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((record.all().len(), store.state(id)), (1, JobState::Running));
    gate.open();
    assert_eq!(store.wait_finished(id), Outcome::Succeeded, "what it returns decides");
    host.stop(PATIENCE).unwrap();
    assert_eq!(record.all().len(), 1);
}

// 23
fn cancel_takes_a_waiting_job_at_once(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let ready = store.jobs.enqueue(&named("ready")).unwrap().id();
    let later = store.jobs.enqueue_in(HOUR, &named("later")).unwrap().id();
    for id in [ready, later] {
        assert_eq!(store.jobs.cancel(id).unwrap(), Cancelling::Cancelled);
        assert_eq!(store.state(id), JobState::Finished(Outcome::Cancelled));
        assert_eq!(store.jobs.cancel(id).unwrap(), Cancelling::NotLive);
    }
    assert_eq!(store.jobs.cancel(4711).unwrap(), Cancelling::NotLive);
    store.time.advance(HOUR);
    assert!(store.jobs.drain(&record.handlers()).unwrap().ids().is_empty());
}

// 23
fn cancel_stops_the_token_of_a_running_job(on: On) {
    let (store, record) = (on.live(), Record::default());
    let handlers = record.handlers_that(|_, ctx| {
        ctx.wait();
        assert_eq!(ctx.stop_cause(), Some(StopCause::Cancelled));
        Ok(ctx.check()?)
    });
    let mut host = workers(&store.jobs, 1, handlers);
    let other_process = store.again();
    for (n, jobs) in [&store.jobs, &other_process].into_iter().enumerate() {
        let id = store.jobs.enqueue(&named("a")).unwrap().id();
        record.wait_for(n + 1);
        assert_eq!(jobs.cancel(id).unwrap(), Cancelling::Requested);
        assert_eq!(store.wait_finished(id), Outcome::Cancelled);
    }
    host.stop(PATIENCE).unwrap();
}

// 23
fn a_cancelled_job_that_fails_does_not_run_again(on: On) {
    let (store, record) = (on.live(), Record::default());
    let handlers = record.handlers_that(|_, ctx| {
        ctx.wait();
        Err("half done".into())
    });
    let mut host = workers(&store.jobs, 1, handlers);
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    record.wait_for(1);
    store.jobs.cancel(id).unwrap();
    assert_eq!(store.wait_finished(id), Outcome::Cancelled);
    host.stop(PATIENCE).unwrap();
}

fn a_checkpoint_is_there_for_the_next_run(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let handlers = record.handlers_that(|_, ctx| {
        let done: u32 = ctx.progress()?.unwrap_or(0);
        ctx.checkpoint(&(done + 1))?;
        assert_eq!(ctx.progress()?, Some(done + 1));
        assert!(matches!(ctx.progress::<String>(), Err(RunError::Encode(_))));
        if done < 2 { Err("not yet".into()) } else { Ok(()) }
    });
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    for _ in 0..3 {
        store.jobs.drain(&handlers).unwrap();
        store.time.advance(HOUR);
    }
    let info = store.get(id);
    assert_eq!(info.state, JobState::Finished(Outcome::Succeeded));
    assert_eq!(info.progress::<u32>(), Some(3));
}

fn an_output_is_stored_with_the_end(on: On) {
    let (store, record) = (on.manual(), Record::default());
    let handlers = record.handlers_that(|_, ctx| {
        ctx.output(&("rows", 7))?;
        let child = ctx.enqueue(&Other(1))?;
        assert!(child.is_new());
        Ok(())
    });
    let id = store.jobs.enqueue(&named("a")).unwrap().id();
    store.jobs.drain(&handlers).unwrap();
    assert_eq!(store.get(id).output::<(String, u32)>(), Some(("rows".to_owned(), 7)));
    assert_eq!(store.jobs.list(&Default::default()).unwrap()[0].kind, "other");
}

// 9
fn many_threads_run_each_job_once(on: On) {
    let (store, record) = (on.live(), Record::default());
    let mut hosts: Vec<_> =
        [store.jobs.clone(), store.again()].iter().map(|jobs: &Jobs| workers(jobs, 4, record.handlers())).collect();
    let names: Vec<String> = (0..1_000).map(|n| format!("{n:04}")).collect();
    for chunk in names.chunks(50) {
        store.jobs.enqueue_all(chunk.iter().map(|name| Enqueue::new(&named(name)))).unwrap();
    }
    record.wait_for(names.len());
    hosts.iter_mut().for_each(|host| drop(host.stop(PATIENCE).unwrap()));
    let mut ran = record.all();
    ran.sort();
    assert_eq!(ran, names);
    assert_eq!(store.jobs.stats().unwrap().succeeded, 1_000);
    assert!(store.jobs.stats().unwrap().workers.is_empty());
}

// 14
fn a_process_claims_no_more_long_jobs_than_it_has_threads(on: On) {
    let (store, record, gate) = (on.live(), Record::default(), Gate::default());
    let opened = gate.clone();
    let handlers = record.handlers_that(move |_, _| {
        opened.wait();
        Ok(())
    });
    let mut host = workers(&store.jobs, 3, handlers);
    store.jobs.enqueue_all((0..50).map(|_| Enqueue::new(&named("a")))).unwrap();
    record.wait_for(3);
    let queues = store.jobs.stats().unwrap().queues;
    assert_eq!((queues[0].running, queues[0].ready), (3, 47));
    gate.open();
    record.wait_for(50);
    host.stop(PATIENCE).unwrap();
}

// 38
fn handlers_with_a_mistake_fail_the_start(on: On) {
    let store = on.manual();
    let nothing = |_: Named, _: &JobContext| Ok(());
    let twice = Handlers::new().handle(nothing).handle(nothing);
    let wrong = [
        (twice, "kind `named` has two handlers"),
        (Handlers::new(), "there is no handler"),
        (Handlers::new().alias("old"), "the alias `old` follows no `handle`"),
        (Handlers::new().handle(nothing).queues([""; 0]), "`queues` needs at least one name"),
        (Handlers::new().handle(nothing).handle_version(1, |old: Named| old), "version 1 of kind `named` is not older"),
    ];
    for (handlers, expected) in wrong {
        let drained = store.jobs.drain(&handlers).unwrap_err().to_string();
        let mut host = hosted::Host::new();
        host.add("jobs", store.jobs.workers(1, handlers));
        let started = host.start().unwrap_err().to_string();
        assert!(drained.contains(expected) && started.contains(expected), "{drained}\n{started}");
    }
    let mut host = hosted::Host::new();
    host.add("jobs", store.jobs.workers(0, Handlers::new().handle(nothing)));
    assert!(host.start().unwrap_err().to_string().contains("at least one thread"));
}
