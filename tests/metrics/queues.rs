//! The metrics of queues and of their consumers.

use crate::recorder::{Values, recorder};
use crate::support::{Gate, LIMIT, eventually};
use hosted::{Context, Host, Queue};
use std::thread;

fn length(values: &Values, queue: &str) -> Option<f64> {
    values.get("hosted_queue_length", &[("queue", queue)])
}

// 195
#[test]
fn the_length_of_a_named_queue_follows_pushes_takes_and_drains() {
    let values = recorder();
    let queue = Queue::bounded(10).named("lengths");
    for n in 1..=5 {
        queue.push(n).unwrap();
        assert_eq!(length(&values, "lengths"), Some(n.into()));
    }
    queue.try_push(6).unwrap();
    assert_eq!(length(&values, "lengths"), Some(6.0));
    assert_eq!(queue.drain().len(), 6);
    assert_eq!(length(&values, "lengths"), Some(0.0));

    queue.push(7).unwrap();
    let queue = queue.named("lengths, renamed");
    assert_eq!((length(&values, "lengths"), length(&values, "lengths, renamed")), (Some(0.0), Some(1.0)));
    drop(queue);
    assert_eq!(length(&values, "lengths, renamed"), Some(0.0));
}

// 195
#[test]
fn producers_and_consumers_that_race_leave_the_true_length() {
    let values = recorder();
    let queue = Queue::bounded(8).named("raced");
    let mut host = Host::new();
    host.add("raced 1", queue.consumer(|_: u32, _| Ok(())));
    host.add("raced 2", queue.consumer(|_: u32, _| Ok(()))).independent();
    host.start().unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..1_000).for_each(|n| queue.push(n).unwrap()));
        }
    });
    host.stop(LIMIT).unwrap();
    assert_eq!(length(&values, "raced"), Some(queue.len() as f64));
    let jobs = ["raced 1", "raced 2"].map(|service| {
        let labels = [("queue", "raced"), ("service", service)];
        let jobs = values.get("hosted_queue_jobs_total", &labels).unwrap_or_default();
        assert_eq!(values.samples("hosted_queue_job_seconds", &labels).len() as f64, jobs);
        jobs
    });
    assert_eq!(jobs.iter().sum::<f64>(), 4_000.0);
}

// 195
#[test]
fn each_job_is_counted_and_timed_also_if_it_fails_or_panics() {
    let values = recorder();
    let queue = Queue::bounded(10).named("timed");
    let gate = Gate::new();
    let passed = gate.clone();
    let job = move |n: u32, ctx: &Context| {
        passed.pass(ctx)?;
        match n {
            1 => Ok(()),
            2 => Err("failed".into()),
            _ => panic!("job {n}"),
        }
    };
    let mut host = Host::new();
    host.add("timer", queue.consumer(job));
    host.start().unwrap();
    assert_eq!(values.get("hosted_queue_capacity", &[("queue", "timed")]), Some(10.0));
    let labels = [("queue", "timed"), ("service", "timer")];
    for n in 1..=3 {
        queue.push(n).unwrap();
        gate.arrival();
        assert_eq!(values.samples("hosted_queue_job_seconds", &labels).len() as u32, n - 1, "the job still runs");
        gate.let_one_through();
        eventually(|| (values.get("hosted_queue_jobs_total", &labels) == Some(n.into())).then_some(()));
    }
    host.stop(LIMIT).unwrap();
    let seconds = values.samples("hosted_queue_job_seconds", &labels);
    assert!(seconds.len() == 3 && seconds.iter().all(|seconds| *seconds > 0.0), "{seconds:?}");
    assert_eq!(values.get("hosted_service_errors_total", &[("service", "timer")]), Some(2.0));
}

// 195
#[test]
fn the_jobs_of_a_queue_without_a_name_are_counted_by_the_service_alone() {
    let values = recorder();
    let queue = Queue::bounded(10);
    let mut host = Host::new();
    host.add("nameless", queue.consumer(|_: u32, _| Ok(())));
    queue.push(1).unwrap();
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(values.get("hosted_queue_jobs_total", &[("service", "nameless")]), Some(1.0));
}
