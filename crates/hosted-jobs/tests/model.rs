//! Random histories: both stores give the same answers, so the store in memory is a model of the one in SQLite.

mod support;

use hosted_jobs::{
    Backoff, Enqueue, Filter, Handlers, Job, JobContext, JobError, JobState, Jobs, Options, Outcome, Recurring,
    Synchronous, Unique,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use support::{HOUR, On, Store};

/// A job that does what its number says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Act(u8);

impl Job for Act {
    const KIND: &'static str = "act";

    fn options() -> Options {
        Options::new().max_failures(3).backoff(Backoff::constant(Duration::ZERO))
    }
}

fn handlers() -> Handlers {
    Handlers::new().handle(|Act(n): Act, ctx: &JobContext| {
        ctx.checkpoint(&ctx.failed())?;
        match n % 7 {
            0 => Ok(()),
            1 => Err(JobError::retry_in(HOUR, "later")),
            2 => Err(JobError::dead("never")),
            3 if !ctx.is_retry() => Err(JobError::snooze(HOUR)),
            4 => Err(JobError::cancelled()),
            5 if ctx.failed() == 0 => Err("once".into()),
            6 => {
                ctx.enqueue(Enqueue::new(&Act(0)).delay(HOUR))?;
                Ok(())
            }
            _ => Ok(ctx.output(&n)?),
        }
    })
}

#[derive(Clone, Debug)]
enum Step {
    Enqueue {
        act: u8,
        queue: u8,
        priority: i32,
        delay: u64,
        unique: Option<(u8, u8)>,
        replace: bool,
        limit: Option<u8>,
    },
    Drain,
    Advance(u64),
    Cancel(usize),
    Retry(usize),
    Delete(usize),
    Pause(u8, bool),
    PauseKind(bool),
    Recurring(u8),
    Prune,
}

fn step() -> impl Strategy<Value = Step> {
    let unique = prop::option::weighted(0.4, (0..3_u8, 0..2_u8));
    let enqueue = (0..7_u8, 0..2_u8, -1..=1, 0..2_u64, unique, any::<bool>(), prop::option::weighted(0.4, 0..2_u8));
    prop_oneof![
        6 => enqueue.prop_map(|(act, queue, priority, delay, unique, replace, limit)| {
            Step::Enqueue { act, queue, priority, delay, unique, replace, limit }
        }),
        3 => Just(Step::Drain),
        3 => (1..4_u64).prop_map(Step::Advance),
        1 => (0..20_usize).prop_map(Step::Cancel),
        1 => (0..20_usize).prop_map(Step::Retry),
        1 => (0..20_usize).prop_map(Step::Delete),
        1 => (0..2_u8, any::<bool>()).prop_map(|(queue, pause)| Step::Pause(queue, pause)),
        1 => any::<bool>().prop_map(Step::PauseKind),
        1 => (0..3_u8).prop_map(Step::Recurring),
        1 => Just(Step::Prune),
    ]
}

fn request(step: &Step) -> Enqueue {
    let Step::Enqueue { act, queue, priority, delay, unique, replace, limit } = step else { panic!("{step:?}") };
    let mut request =
        Enqueue::new(&Act(*act)).queue(format!("q{queue}")).priority(*priority).delay(HOUR * *delay as u32);
    if let Some((span, key)) = unique {
        request = request.unique(match span {
            0 => Unique::until_started(key),
            1 => Unique::until_finished(key),
            _ => Unique::within(key, HOUR * 2),
        });
    }
    if *replace {
        request = request.replace();
    }
    if let Some(key) = limit {
        request = request.limit(key, u32::from(*key) + 1);
    }
    request
}

/// Makes a step, and returns what it answered.
fn make(store: &Store, step: &Step) -> String {
    let (jobs, id) = (&store.jobs, |n: &usize| *n as i64 + 1);
    match step {
        Step::Enqueue { .. } => format!("{:?}", jobs.enqueue(request(step)).unwrap()),
        Step::Drain => format!("{:?}", jobs.drain(&handlers())),
        Step::Advance(hours) => {
            store.time.advance(HOUR * *hours as u32);
            String::new()
        }
        Step::Cancel(n) => format!("{:?}", jobs.cancel(id(n)).unwrap()),
        Step::Retry(n) => format!("{:?}", jobs.retry(id(n)).unwrap()),
        Step::Delete(n) => format!("{:?}", jobs.delete(id(n)).unwrap()),
        Step::Pause(queue, true) => format!("{:?}", jobs.pause(&format!("q{queue}")).unwrap()),
        Step::Pause(queue, false) => format!("{:?}", jobs.resume(&format!("q{queue}")).unwrap()),
        Step::PauseKind(true) => format!("{:?}", jobs.pause_kind("act").unwrap()),
        Step::PauseKind(false) => format!("{:?}", jobs.resume_kind("act").unwrap()),
        Step::Recurring(n) => {
            let set = (0..*n).map(|n| Recurring::every(format!("s{n}"), HOUR * (u32::from(n) + 1), &Act(n)));
            format!("{:?}", jobs.recurring(set).unwrap())
        }
        Step::Prune => jobs.prune().unwrap().to_string(),
    }
}

/// Everything that can be seen of a store.
fn state(jobs: &Jobs) -> String {
    let outcomes = [Outcome::Succeeded, Outcome::Dead, Outcome::Cancelled].map(JobState::Finished);
    let filters = [Filter::live()].into_iter().chain(outcomes.map(Filter::state));
    let all: Vec<_> = filters.map(|filter| jobs.list(&filter.limit(1_000)).unwrap()).collect();
    format!("{all:#?}\n{:#?}\n{:#?}", jobs.stats().unwrap(), jobs.schedules().unwrap())
}

/// `PROPTEST_CASES=5000` makes the test longer.
fn config() -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { default } else { ProptestConfig { cases: 96, ..default } }
}

proptest! {
    #![proptest_config(config())]

    // 66
    #[test]
    fn both_stores_give_the_same_answers(steps in prop::collection::vec(step(), 1..40)) {
        let set = |builder: hosted_jobs::Builder| builder.keep_succeeded(HOUR * 3).synchronous(Synchronous::Normal);
        let (memory, sqlite) = (On::Memory.manual_with(set), On::Sqlite.manual_with(set));
        for step in &steps {
            prop_assert_eq!(make(&memory, step), make(&sqlite, step), "{:?}", step);
        }
        prop_assert_eq!(state(&memory.jobs), state(&sqlite.jobs));
    }
}
