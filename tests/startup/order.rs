//! Promises 17, 18, 28 and 29: the order of the start. What goes wrong is in `starting_rollback.rs` and
//! `starting_late.rs`; random graphs and bad input are in `plan.rs`.

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use hosted::{
    Context, EventKind, Host, HostError, HostHandle, HostState, Outcome, Phase, Result, Service, ServiceState, task,
    worker,
};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

/// Only so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test that would hang if a promise were broken.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, over) = bounded::<()>(0);
    let body = move || {
        let _done = done; // dropped by a panic too
        test();
    };
    let thread = thread::spawn(body);
    assert_eq!(over.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "the test hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A service that is one function of the phase.
struct Acts<F>(F);

fn acts<F: FnMut(Phase, &Context) -> Result + Send + 'static>(f: F) -> impl Service {
    Acts(f)
}

impl<F: FnMut(Phase, &Context) -> Result + Send + 'static> Service for Acts<F> {
    fn start(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Start, ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Run, ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Stop, ctx)
    }
}

/// A service that does `f` in one phase, and in the others what every service does unless told.
fn during(act: Phase, mut f: impl FnMut(&Context) -> Result + Send + 'static) -> impl Service {
    acts(move |phase, ctx| if phase == act { f(ctx) } else { otherwise(phase, ctx) })
}

/// What a service does unless told: it is ready at once, waits for the stop and has nothing to clean up.
fn otherwise(phase: Phase, ctx: &Context) -> Result {
    if phase == Phase::Run {
        ctx.wait();
    }
    Ok(())
}

/// Where services wait for the test: they say that they have come, and go on one by one as they are let through.
#[derive(Clone)]
struct Gate {
    came: (Sender<String>, Receiver<String>),
    go: (Sender<()>, Receiver<()>),
}

impl Gate {
    fn new() -> Self {
        Gate { came: unbounded(), go: bounded(0) }
    }

    fn pass(&self, ctx: &Context) -> Result {
        self.came.0.send(ctx.name().to_owned())?;
        self.go.1.recv()?;
        Ok(())
    }

    /// Who comes next.
    fn who(&self) -> String {
        self.came.1.recv_timeout(PATIENCE).expect("nobody comes")
    }

    fn let_one_through(&self) {
        self.go.0.send_timeout((), PATIENCE).expect("nobody waits");
    }
}

fn states(host: &HostHandle) -> Vec<ServiceState> {
    host.services().iter().map(|service| service.state).collect()
}

/// Starts the host on a thread of its own, for a test that looks on.
fn starting(mut host: Host) -> thread::JoinHandle<std::result::Result<Host, HostError>> {
    thread::spawn(move || host.start().map(|()| host))
}

// 17
#[test]
fn each_service_starts_when_the_one_added_before_it_is_ready() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        for name in ["a", "b", "c"] {
            let gate = gate.clone();
            host.add(name, during(Phase::Start, move |ctx| gate.pass(ctx)));
        }
        let handle = host.handle();
        let starter = starting(host);
        use ServiceState::{Running, Starting, Waiting};
        let steps = [[Starting, Waiting, Waiting], [Running, Starting, Waiting], [Running, Running, Starting]];
        for (name, step) in ["a", "b", "c"].into_iter().zip(steps) {
            assert_eq!(gate.who(), name);
            assert_eq!(states(&handle), step);
            assert_eq!(handle.state(), HostState::Starting);
            gate.let_one_through();
        }
        let mut host = starter.join().unwrap().unwrap();
        assert_eq!((states(&handle), handle.state()), (vec![Running; 3], HostState::Started));
        host.stop(PATIENCE).unwrap();
    });
}

// 17
#[test]
fn services_stop_in_exact_reverse_each_when_the_one_after_it_has_ended() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        for name in ["a", "b", "c"] {
            let gate = gate.clone();
            host.add(name, during(Phase::Stop, move |ctx| gate.pass(ctx)));
        }
        host.start().unwrap();
        let handle = host.handle();
        let stopper = thread::spawn(move || host.stop(PATIENCE).map(drop));
        use ServiceState::{Running, Stopped, Stopping};
        let steps = [[Running, Running, Stopping], [Running, Stopping, Stopped], [Stopping, Stopped, Stopped]];
        for (name, step) in ["c", "b", "a"].into_iter().zip(steps) {
            assert_eq!(gate.who(), name);
            assert_eq!((states(&handle), handle.state()), (step.to_vec(), HostState::Stopping));
            gate.let_one_through();
        }
        stopper.join().unwrap().unwrap();
        assert_eq!((states(&handle), handle.state()), (vec![Stopped; 3], HostState::Stopped));
    });
}

// 18
#[test]
fn a_service_with_after_waits_only_for_those_it_names() {
    in_time(|| {
        let (mut host, slow, named) = (Host::new(), Gate::new(), Gate::new());
        let (at_slow, at_named) = (slow.clone(), named.clone());
        host.add("slow", during(Phase::Start, move |ctx| at_slow.pass(ctx)));
        host.add("quick", acts(otherwise)).after::<&str>([]);
        host.add("named", during(Phase::Start, move |ctx| at_named.pass(ctx))).after(["quick", "quick"]);
        host.add("both", acts(otherwise)).after(["slow"]).after(["quick"]);
        host.add("all", acts(otherwise));
        let handle = host.handle();
        let starter = starting(host);
        assert_eq!(named.who(), "named");
        use ServiceState::{Running, Starting, Waiting};
        assert_eq!(states(&handle), [Starting, Running, Starting, Waiting, Waiting]);
        named.let_one_through();
        slow.let_one_through();
        let mut host = starter.join().unwrap().unwrap();
        assert_eq!(states(&handle), [Running; 5]);
        host.stop(PATIENCE).unwrap();
    });
}

// 18
#[test]
fn independent_services_start_and_stop_side_by_side() {
    in_time(|| {
        let (mut host, meeting) = (Host::new(), Arc::new(Barrier::new(3))); // which nobody passes alone
        for name in ["a", "b", "c"] {
            let meeting = meeting.clone();
            let service = acts(move |phase, ctx| {
                match phase {
                    Phase::Run => ctx.wait(),
                    _ => _ = meeting.wait(),
                }
                Ok(())
            });
            host.add(name, service).after::<&str>([]);
        }
        host.start().unwrap();
        host.stop(PATIENCE).unwrap();
    });
}

// 28
#[test]
fn a_task_is_done_before_the_next_service_starts_and_has_completed() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        let at_gate = gate.clone();
        host.add("migrate", task(move |ctx| at_gate.pass(ctx)));
        host.add("server", acts(otherwise));
        let (handle, events) = (host.handle(), host.events());
        let starter = starting(host);
        assert_eq!(gate.who(), "migrate");
        assert_eq!(states(&handle), [ServiceState::Starting, ServiceState::Waiting]);
        gate.let_one_through();
        let mut host = starter.join().unwrap().unwrap();
        events.iter().find(|event| matches!(event.kind, EventKind::Completed)).unwrap();
        let report = host.stop(PATIENCE).unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::Completed), "{report}");
    });
}

// 28
#[test]
fn a_task_that_fails_or_panics_fails_the_start() {
    in_time(|| {
        let tasks: [fn(&Context) -> Result; 2] = [|_| Err("no schema".into()), |_| panic!("no schema")];
        for f in tasks {
            let mut host = Host::new();
            host.add("migrate", task(f));
            host.add("server", acts(otherwise));
            let error = host.start().unwrap_err();
            let [failure] = error.failures() else { panic!("one failure: {error}") };
            assert_eq!((failure.service(), failure.phase()), ("migrate", Phase::Start));
            assert!(failure.to_string().contains("no schema"), "{failure}");
            assert!(matches!(error.report().services[1].outcome, Outcome::NeverStarted), "{error}");
        }
    });
}

// 29
#[test]
fn a_body_that_blocks_from_its_first_line_blocks_nobodys_start() {
    in_time(|| {
        let (mut host, (release, blocked)) = (Host::new(), bounded::<()>(0));
        for name in ["a", "b", "c"] {
            let blocked = blocked.clone();
            let deaf = move |_: &Context| {
                _ = blocked.recv(); // until the sender is gone
                Ok(())
            };
            host.add(name, worker(deaf));
        }
        host.start().unwrap();
        assert_eq!(states(&host.handle()), [ServiceState::Running; 3]);
        drop(release);
        host.stop(PATIENCE).unwrap();
    });
}
