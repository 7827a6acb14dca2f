//! Guarantees 18, 19, 26 and 75: the order of dependencies, and invalid input, which is refused before any thread
//! exists.

use crate::support::{LIMIT, in_time};
use crossbeam_channel::{Sender, unbounded};
use hosted::{
    Context, Host, HostError, HostState, Outcome, Phase, Queue, Restart, Result, Service, ServiceState, StopToken,
    every, group, worker,
};
use std::error::Error;
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Reports every call, and on which thread it was dropped.
struct Witness(Sender<(&'static str, ThreadId)>);

impl Witness {
    fn says(&self, what: &'static str) -> Result {
        Ok(self.0.send((what, thread::current().id()))?)
    }
}

impl Service for Witness {
    fn start(&mut self, _: &Context) -> Result {
        self.says("start")
    }

    fn run(&mut self, ctx: &Context) -> Result {
        ctx.wait();
        self.says("run")
    }

    fn stop(&mut self, _: &Context) -> Result {
        self.says("stop")
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        _ = self.says("drop");
    }
}

fn source(error: &HostError) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// Asserts that `start` refuses the host that `fill` creates, names `culprit`, and calls nothing.
fn assert_refused(culprit: &str, fill: impl FnOnce(&mut Host, &dyn Fn() -> Witness)) {
    let (sender, receiver) = unbounded();
    let witness = || Witness(sender.clone());
    let mut host = Host::new();
    host.add("first", witness());
    fill(&mut host, &witness);
    host.add("last", witness());
    for error in [host.start().unwrap_err(), host.run_until(&StopToken::never()).unwrap_err()] {
        assert!(error.failures().is_empty(), "{error}");
        assert!(source(&error).contains(culprit), "`{culprit}` is not in: {}", source(&error));
        assert!(error.to_string().contains(culprit), "`{culprit}` is not in: {error}");
        let services = &error.report().services;
        assert_eq!(services.len(), host.handle().services().len());
        assert!(services.iter().all(|service| matches!(service.outcome, Outcome::NeverStarted)), "{error}");
    }
    assert_eq!(host.handle().state(), HostState::New);
    assert!(host.handle().services().iter().all(|service| service.state == ServiceState::Waiting));
    drop(host);
    drop(sender);
    // Dropping the host drops all witnesses on this thread. A thread of a service would have dropped its own.
    let here = thread::current().id();
    assert!(receiver.iter().all(|(what, thread)| (what, thread) == ("drop", here)), "a service was called");
}

// 19
#[test]
fn a_duplicate_name_is_an_error_of_start_that_names_it_before_any_thread_exists() {
    assert_refused("`twin`", |host, witness| {
        host.add("twin", witness());
        host.add("other", witness());
        host.add("twin", witness());
    });
}

// 19
#[test]
fn an_unknown_name_in_after_is_an_error_of_start_that_names_both() {
    assert_refused("service `asker`: unknown dependency `nobody`", |host, witness| {
        host.add("asker", witness()).after(["first", "nobody"]);
    });
}

// 19
#[test]
fn after_accepts_only_services_that_were_added_before() {
    assert_refused("service `asker`: unknown dependency `last`", |host, witness| {
        _ = host.add("asker", witness()).after(["last"])
    });
    assert_refused("service `asker`: unknown dependency `asker`", |host, witness| {
        _ = host.add("asker", witness()).after(["asker"])
    });
}

// 75
#[test]
fn an_empty_name_is_an_error_of_start_that_says_which_service_has_it() {
    assert_refused("service #2 has an empty name", |host, witness| _ = host.add("", witness()));
}

// 75
#[test]
fn a_name_with_a_nul_is_an_error_of_start_that_names_it_without_the_nul() {
    assert_refused(r"`in\0side`", |host, witness| _ = host.add("in\0side", witness()));
}

// bad input
#[test]
fn a_period_of_zero_is_an_error_of_start() {
    assert_refused("`tick`", |host, _| _ = host.add("tick", every(Duration::ZERO, |_| Ok(()))));
    let boxed = || -> Box<dyn Service> { Box::new(every(Duration::ZERO, |_| Ok(())).fixed_delay()) };
    assert_refused("`tick`", |host, _| _ = host.add("tick", boxed()));
}

// bad input
#[test]
fn a_consumer_of_a_queue_without_room_is_an_error_of_start() {
    let queue = Queue::<u32>::bounded(0);
    assert_refused("`eater`", |host, _| _ = host.add("eater", queue.consumer(|_, _| Ok(()))));
}

// bad input
#[test]
fn a_restart_backoff_whose_minimum_exceeds_its_maximum_is_an_error_of_start() {
    let upside_down = Restart::on_failure().backoff(Duration::from_secs(2)..=Duration::from_secs(1));
    assert_refused("`phoenix`", |host, witness| _ = host.add("phoenix", witness()).restart(upside_down));
}

// 19
#[test]
fn a_bad_name_in_a_group_is_the_groups_failure_and_names_the_child() {
    in_time(|| {
        let mut host = Host::new();
        let fill = |inside: &mut Host| {
            inside.add("twin", worker(|_| Ok(())));
            inside.add("twin", worker(|_| Ok(())));
            Ok(())
        };
        host.add("group", group(fill));
        let error = host.start().unwrap_err();
        let [failure] = error.failures() else { panic!("one failure: {error}") };
        assert_eq!((failure.service(), failure.phase()), ("group", Phase::Start));
        assert!(failure.to_string().contains("twin"), "{failure}");
    });
}

// 26
#[test]
fn a_second_start_is_an_error_and_does_not_affect_the_running_host() {
    in_time(|| {
        let mut host = Host::new();
        host.add("a", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
        host.start().unwrap();
        for _ in 0..2 {
            let error = host.start().unwrap_err();
            assert!(error.failures().is_empty() && source(&error).contains("a host can run only once"), "{error}");
            assert_eq!(host.handle().state(), HostState::Started);
            assert_eq!(host.handle().services()[0].state, ServiceState::Running);
        }
        host.stop(LIMIT).unwrap();
        assert!(source(&host.start().unwrap_err()).contains("a host can run only once"));
        assert!(source(&host.run_until(&StopToken::never()).unwrap_err()).contains("a host can run only once"));
    });
}

// 26, 88
#[test]
fn a_service_added_after_the_start_is_an_error_of_the_next_start_and_never_runs() {
    in_time(|| {
        let (sender, receiver) = unbounded();
        let mut host = Host::new();
        host.add("a", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
        host.start().unwrap();
        host.add("newcomer", Witness(sender));
        let error = host.start().unwrap_err();
        assert!(error.failures().is_empty() && source(&error).contains("`newcomer`"), "{error}");
        assert!(source(&error).contains("a host can run only once"), "{error}");
        let error = host.stop(LIMIT).unwrap_err();
        assert!(error.failures().is_empty() && source(&error).contains("`newcomer`"), "{error}");
        let report = error.report();
        assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
        assert!(matches!(report.services[1].outcome, Outcome::NeverStarted), "{report}");
        drop(host);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [("drop", thread::current().id())]);
    });
}

/// Marsaglia's xorshift: the same graphs in every run.
struct Dice(u64);

impl Dice {
    /// Returns a number from 0 to `below` - 1.
    fn throw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % below
    }
}

/// Checks in its start and in its stop that all its dependencies are running.
struct Looker {
    before: Vec<usize>,
    seen: Sender<(Phase, String, bool)>,
}

impl Looker {
    fn observe(&self, phase: Phase, ctx: &Context) -> Result {
        let services = ctx.host().services();
        let all_run = self.before.iter().all(|&place| services[place].state == ServiceState::Running);
        Ok(self.seen.send((phase, ctx.name().to_owned(), all_run))?)
    }
}

impl Service for Looker {
    fn start(&mut self, ctx: &Context) -> Result {
        self.observe(Phase::Start, ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.observe(Phase::Stop, ctx)
    }
}

/// A random graph: a third of the services depend on all earlier services, the others on some of them.
fn random_host(dice: &mut Dice, seen: &Sender<(Phase, String, bool)>) -> (Host, usize) {
    let (mut host, services) = (Host::new(), 1 + dice.throw(9));
    for place in 0..services {
        let all = dice.throw(3) == 0;
        let before: Vec<usize> = (0..place).filter(|_| all || dice.throw(3) == 0).collect();
        let names: Vec<String> = before.iter().map(|place| format!("s{place}")).collect();
        let options = host.add(format!("s{place}"), Looker { before, seen: seen.clone() });
        if !all {
            options.after(names);
        }
    }
    (host, services)
}

// 18
#[test]
fn random_graphs_respect_every_edge_at_the_start_and_at_the_stop() {
    in_time(|| {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
        for graph in 0..300 {
            let (seen, observations) = unbounded();
            let (mut host, services) = random_host(&mut dice, &seen);
            host.start().unwrap();
            host.stop(LIMIT).unwrap();
            let observations: Vec<_> = observations.try_iter().collect();
            assert_eq!(observations.len(), 2 * services, "graph {graph}: {observations:?}");
            assert!(observations.iter().all(|observation| observation.2), "graph {graph}: {observations:?}");
        }
    });
}
