//! Guarantee 46: a group is a host with its own services, which fails with its children. (Guarantee 78: `names` and
//! `hung`.)

use crate::support::{LIMIT, next, waits};
use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{
    BoxError, Cause, Context, Host, OnFailure, Outcome, Phase, Restart, Result, Service, ServiceError, StopReason,
    StopToken, group, task, worker,
};
use std::time::Duration;

/// A service that reports its start, the end of its run, and its drop.
struct Reporting<F> {
    name: &'static str,
    steps: Sender<String>,
    run: F,
}

fn reporting<F>(name: &'static str, steps: &Sender<String>, run: F) -> Reporting<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    Reporting { name, steps: steps.clone(), run }
}

impl<F> Reporting<F> {
    fn report(&self, step: &str) {
        self.steps.send(format!("{step} {}", self.name)).unwrap();
    }
}

impl<F: FnMut(&Context) -> Result + Send + 'static> Service for Reporting<F> {
    fn start(&mut self, _: &Context) -> Result {
        self.report("start");
        Ok(())
    }
    fn run(&mut self, ctx: &Context) -> Result {
        (self.run)(ctx)
    }
    fn stop(&mut self, _: &Context) -> Result {
        self.report("stop");
        Ok(())
    }
}

impl<F> Drop for Reporting<F> {
    fn drop(&mut self) {
        self.report("drop");
    }
}

/// A child that fails at each order of the test.
fn fails_when(orders: &Receiver<()>) -> impl FnMut(&Context) -> Result + Send + use<> {
    let orders = orders.clone();
    move |ctx| {
        ctx.recv(&orders)?;
        Err("no network".into())
    }
}

fn cause(error: &ServiceError) -> &BoxError {
    match error.cause() {
        Cause::Failed(error) => error,
        other => panic!("{other:?}"),
    }
}

// 46
#[test]
fn a_group_whose_child_fails_finally_stops_the_others_and_fails() {
    let ((fail, failing), (steps, taken)) = (unbounded(), unbounded());
    let mut host = Host::new();
    host.add(
        "g",
        group(move |g| {
            g.add("a", reporting("a", &steps, waits));
            g.add("b", reporting("b", &steps, fails_when(&failing)));
            g.add("c", reporting("c", &steps, waits));
            Ok(())
        }),
    );
    host.start().unwrap();
    fail.send(()).unwrap();
    assert_eq!(host.wait(), StopReason::Failed("g".into()));
    let error = host.stop(LIMIT).unwrap_err();
    assert_eq!(error.failures().len(), 1);
    let failure = &error.failures()[0];
    assert_eq!((failure.service(), failure.phase()), ("g", Phase::Run));
    let child: &ServiceError = cause(failure).downcast_ref().expect("the child's own failure");
    assert_eq!((child.service(), child.phase()), ("g/b", Phase::Run));
    assert_eq!(cause(child).to_string(), "no network");
    assert!(failure.to_string().contains("g/b"), "{failure}");
    let outcomes = error.report().services.iter().map(|service| &service.outcome).collect::<Vec<_>>();
    let [g, a, b, c] = outcomes[..] else { panic!("{outcomes:?}") };
    assert!(matches!((g, a, b, c), (Outcome::Failed(_), Outcome::Stopped, Outcome::Failed(_), Outcome::Stopped)));
    let steps = taken.try_iter().filter(|step| !step.contains('b')).collect::<Vec<_>>();
    assert_eq!(steps, ["start a", "start c", "stop c", "drop c", "stop a", "drop a"]);
}

// 46
#[test]
fn a_restarted_group_has_new_children_that_start_after_all_old_ones_are_gone() {
    let ((fail, failing), (steps, taken)) = (unbounded(), unbounded());
    let mut host = Host::new();
    let service = group(move |g| {
        steps.send("fill".to_owned())?;
        g.add("a", reporting("a", &steps, waits));
        g.add("b", reporting("b", &steps, fails_when(&failing)));
        Ok(())
    });
    host.add("g", service).restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
    host.start().unwrap();
    let life = ["fill", "start a", "start b", "stop b", "drop b", "stop a", "drop a"];
    for n in 1..=3 {
        fail.send(()).unwrap();
        assert_eq!(life.map(|_| next(&taken)), life);
        if n < 3 {
            continue;
        }
        assert_eq!([next(&taken), next(&taken), next(&taken)], ["fill", "start a", "start b"]);
        let now = host.handle().services();
        assert_eq!(now.iter().map(|child| &*child.name).collect::<Vec<_>>(), ["g", "g/a", "g/b"]);
        assert_eq!(
            now.iter().map(|child| (child.restarts, child.errors)).collect::<Vec<_>>(),
            [(3, 3), (0, 0), (0, 0)]
        );
    }
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.len(), 3);
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Stopped)));
}

// 46
#[test]
fn a_child_that_is_restarted_does_not_end_its_group_until_it_gives_up() {
    let ((fail, failing), (steps, taken)) = (unbounded(), unbounded());
    let mut host = Host::new();
    host.add(
        "g",
        group(move |g| {
            let restart = Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO).give_up_after(2);
            g.add("a", reporting("a", &steps, fails_when(&failing))).restart(restart);
            g.add("ignored", worker(|_| Err("never mind".into()))).on_failure(OnFailure::Ignore);
            Ok(())
        }),
    );
    host.start().unwrap();
    for _ in 1..=2 {
        assert_eq!(next(&taken), "start a");
        assert!(!host.handle().stopping().stop_requested());
        fail.send(()).unwrap();
        assert_eq!(next(&taken), "stop a");
    }
    fail.send(()).unwrap();
    assert_eq!(host.wait(), StopReason::Failed("g".into()));
    let error = host.stop(LIMIT).unwrap_err();
    let restarts = error.report().services.iter().map(|service| service.restarts).collect::<Vec<_>>();
    assert_eq!((restarts, error.failures().len()), (vec![0, 2, 0], 1));
}

// 46
#[test]
fn a_failure_while_a_group_starts_fails_its_start() {
    type Fill = fn(&mut Host) -> Result;
    let fills: [(Fill, &str); 4] = [
        (|_| Err("no plan".into()), "no plan"),
        (|_| panic!("no plan"), "no plan"),
        (
            |g| {
                g.add("same", task(|_| Ok(())));
                g.add("same", task(|_| Ok(())));
                Ok(())
            },
            "`same`",
        ),
        (
            |g| {
                g.add("bad", task(|_| Err("no disk".into())));
                Ok(())
            },
            "`g/bad`",
        ),
    ];
    for (fill, text) in fills {
        let mut host = Host::new();
        host.add("g", group(fill)).restart(Restart::on_failure());
        host.add("after", task(|_| Ok(())));
        let error = host.start().unwrap_err();
        assert_eq!((error.failures().len(), error.failures()[0].service()), (1, "g"), "{error}");
        assert_eq!(error.failures()[0].phase(), Phase::Start);
        assert!(error.failures()[0].to_string().contains(text), "{error}");
        assert!(matches!(error.report().services.last().unwrap().outcome, Outcome::NeverStarted));
    }
}

// 46
#[test]
fn a_group_is_ready_when_its_children_are_and_completes_when_they_have_completed() {
    let (steps, taken) = unbounded();
    let mut host = Host::new();
    let theirs = steps.clone();
    host.add(
        "g",
        group(move |g| {
            g.add("a", reporting("a", &theirs, |_| Ok(())));
            g.add("b", reporting("b", &theirs, |_| Ok(()))).after(["a"]);
            Ok(())
        }),
    );
    host.add("empty", group(|_| Ok(())));
    host.add("z", reporting("z", &steps, |_| Ok(())));
    let report = host.run_until(&StopToken::never()).unwrap();
    assert_eq!(report.reason, StopReason::AllCompleted);
    assert!(report.services.iter().all(|service| matches!(service.outcome, Outcome::Completed)));
    let starts = taken.try_iter().filter(|step| step.starts_with("start")).collect::<Vec<_>>();
    assert_eq!(starts, ["start a", "start b", "start z"]);
}
