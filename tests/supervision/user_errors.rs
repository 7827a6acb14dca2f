//! Guarantees 33 and 37: the `Display` and `Drop` of a service's error are user code. They run without a lock, and a
//! panic in them does not hide the failure.

use crate::support::{LIMIT, in_time};
use crossbeam_channel::unbounded;
use hosted::{Host, HostHandle, OnFailure, Outcome, Queue, Restart, Result, StopReason, StopToken, group, worker};
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// An error that takes a snapshot of the host when it is formatted and when it is dropped.
struct Curious(HostHandle);

impl Curious {
    fn call_host(&self) {
        assert!(!self.0.services().is_empty());
    }
}

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.call_host();
        f.write_str("curious")
    }
}

impl Error for Curious {}

impl Drop for Curious {
    fn drop(&mut self) {
        self.call_host();
    }
}

/// An error whose `Display` panics.
#[derive(Debug)]
struct Mute;

impl fmt::Display for Mute {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("no words")
    }
}

impl Error for Mute {}

/// Runs a host whose one service fails with an error from `error`. Returns the report.
fn run(restart: Restart, then: OnFailure, error: fn(&HostHandle) -> hosted::BoxError) -> hosted::Report {
    in_time(move || {
        let mut host = Host::new();
        let service = worker(move |ctx| Err(error(ctx.host())));
        host.add("it", service).restart(restart.backoff(Duration::ZERO..=Duration::ZERO)).on_failure(then);
        match host.run_until(&StopToken::never()) {
            Ok(report) => report,
            Err(error) => error.report().clone(),
        }
    })
}

fn policies() -> [(Restart, OnFailure, u64); 3] {
    [
        (Restart::never(), OnFailure::StopHost, 1),
        (Restart::never(), OnFailure::Ignore, 1),
        (Restart::on_failure().give_up_after(2), OnFailure::StopHost, 3),
    ]
}

// 37, 38
#[test]
fn an_error_may_call_the_host_in_its_display_and_in_its_drop() {
    for (restart, then, errors) in policies() {
        let report = run(restart, then, |host| Curious(host.clone()).into());
        assert_eq!(report.services[0].errors, errors);
        assert!(matches!(report.services[0].outcome, Outcome::Failed(_)));
    }
}

// 37, 46
#[test]
fn an_error_of_a_child_may_call_the_host_while_its_group_restarts() {
    let restarts = in_time(|| {
        let mut host = Host::new();
        let outer = host.handle();
        let fill = move |inner: &mut Host| -> Result {
            let outer = outer.clone();
            inner.add(
                "child",
                worker(move |ctx| {
                    ctx.wait_until_started()?;
                    Err(Curious(outer.clone()).into())
                }),
            );
            Ok(())
        };
        let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO).give_up_after(100);
        host.add("group", group(fill)).restart(restart);
        host.run_until(&StopToken::never()).unwrap_err().report().services[0].restarts
    });
    assert_eq!(restarts, 100);
}

// 33
#[test]
fn an_error_whose_display_panics_is_a_failure() {
    for (restart, then, errors) in policies() {
        let report = run(restart, then, |_| Mute.into());
        assert_eq!(report.services[0].errors, errors);
        assert!(matches!(report.services[0].outcome, Outcome::Failed(_)), "{:?}", report.reason);
        let reason = if then == OnFailure::Ignore { StopReason::AllCompleted } else { StopReason::Failed("it".into()) };
        assert_eq!(report.reason, reason);
    }
}

// 69
#[test]
fn a_job_whose_error_cannot_be_displayed_affects_no_other_job() {
    let (sender, receiver) = unbounded();
    let queue = Queue::bounded(2);
    let consumer = queue.consumer(move |n, _| {
        sender.send(n)?;
        if n == 1 { Err(Mute.into()) } else { Ok(()) }
    });
    let mut host = Host::new();
    host.add("consumer", consumer);
    host.start().unwrap();
    (1..=2).for_each(|n| queue.push(n).unwrap());
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(report.services[0].errors, 1);
}
