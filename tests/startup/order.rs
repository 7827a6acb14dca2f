//! Guarantees 17, 18, 28 and 29: the order of the start. (The tests of failures are in `rollback` and `late`, those of
//! random graphs and invalid input in `plan`.)

use crate::support::{Gate, LIMIT, by_phase, idle, in_phase, in_time, states};
use crossbeam_channel::bounded;
use hosted::{Context, EventKind, Host, HostError, HostState, Outcome, Phase, Result, ServiceState, task, worker};
use std::sync::{Arc, Barrier};
use std::thread;

/// Starts the host on another thread, for a test that observes it.
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
            host.add(name, in_phase(Phase::Start, move |ctx| gate.pass(ctx)));
        }
        let handle = host.handle();
        let starter = starting(host);
        use ServiceState::{Running, Starting, Waiting};
        let steps = [[Starting, Waiting, Waiting], [Running, Starting, Waiting], [Running, Running, Starting]];
        for (name, step) in ["a", "b", "c"].into_iter().zip(steps) {
            assert_eq!(gate.arrival(), name);
            assert_eq!(states(&handle), step);
            assert_eq!(handle.state(), HostState::Starting);
            gate.let_one_through();
        }
        let mut host = starter.join().unwrap().unwrap();
        assert_eq!((states(&handle), handle.state()), (vec![Running; 3], HostState::Started));
        host.stop(LIMIT).unwrap();
    });
}

// 17
#[test]
fn services_stop_in_exact_reverse_order_one_after_another() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        for name in ["a", "b", "c"] {
            let gate = gate.clone();
            host.add(name, in_phase(Phase::Stop, move |ctx| gate.pass(ctx)));
        }
        host.start().unwrap();
        let handle = host.handle();
        let stopper = thread::spawn(move || host.stop(LIMIT).map(drop));
        use ServiceState::{Running, Stopped, Stopping};
        let steps = [[Running, Running, Stopping], [Running, Stopping, Stopped], [Stopping, Stopped, Stopped]];
        for (name, step) in ["c", "b", "a"].into_iter().zip(steps) {
            assert_eq!(gate.arrival(), name);
            assert_eq!((states(&handle), handle.state()), (step.to_vec(), HostState::Stopping));
            gate.let_one_through();
        }
        stopper.join().unwrap().unwrap();
        assert_eq!((states(&handle), handle.state()), (vec![Stopped; 3], HostState::Stopped));
    });
}

// 18
#[test]
fn a_service_with_after_waits_only_for_the_services_it_names() {
    in_time(|| {
        let (mut host, slow, named) = (Host::new(), Gate::new(), Gate::new());
        let (at_slow, at_named) = (slow.clone(), named.clone());
        host.add("slow", in_phase(Phase::Start, move |ctx| at_slow.pass(ctx)));
        host.add("quick", idle()).after::<&str>([]);
        host.add("named", in_phase(Phase::Start, move |ctx| at_named.pass(ctx))).after(["quick", "quick"]);
        host.add("both", idle()).after(["slow"]).after(["quick"]);
        host.add("all", idle());
        let handle = host.handle();
        let starter = starting(host);
        assert_eq!(named.arrival(), "named");
        use ServiceState::{Running, Starting, Waiting};
        assert_eq!(states(&handle), [Starting, Running, Starting, Waiting, Waiting]);
        named.let_one_through();
        slow.let_one_through();
        let mut host = starter.join().unwrap().unwrap();
        assert_eq!(states(&handle), [Running; 5]);
        host.stop(LIMIT).unwrap();
    });
}

// 18
#[test]
fn independent_services_start_and_stop_side_by_side() {
    in_time(|| {
        let (mut host, meeting) = (Host::new(), Arc::new(Barrier::new(3))); // no service passes it alone
        for name in ["a", "b", "c"] {
            let meeting = meeting.clone();
            let service = by_phase(move |phase, ctx| {
                match phase {
                    Phase::Run => ctx.wait(),
                    _ => _ = meeting.wait(),
                }
                Ok(())
            });
            host.add(name, service).after::<&str>([]);
        }
        host.start().unwrap();
        host.stop(LIMIT).unwrap();
    });
}

// 28
#[test]
fn a_task_is_done_before_the_next_service_starts_and_has_completed() {
    in_time(|| {
        let (mut host, gate) = (Host::new(), Gate::new());
        let at_gate = gate.clone();
        host.add("migrate", task(move |ctx| at_gate.pass(ctx)));
        host.add("server", idle());
        let (handle, events) = (host.handle(), host.events());
        let starter = starting(host);
        assert_eq!(gate.arrival(), "migrate");
        assert_eq!(states(&handle), [ServiceState::Starting, ServiceState::Waiting]);
        gate.let_one_through();
        let mut host = starter.join().unwrap().unwrap();
        events.iter().find(|event| matches!(event.kind, EventKind::Completed)).unwrap();
        let report = host.stop(LIMIT).unwrap();
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
            host.add("server", idle());
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
fn a_run_that_blocks_from_its_first_line_delays_no_start() {
    in_time(|| {
        let (mut host, (release, blocked)) = (Host::new(), bounded::<()>(0));
        for name in ["a", "b", "c"] {
            let blocked = blocked.clone();
            let unresponsive = move |_: &Context| {
                _ = blocked.recv(); // until the sender is gone
                Ok(())
            };
            host.add(name, worker(unresponsive));
        }
        host.start().unwrap();
        assert_eq!(states(&host.handle()), [ServiceState::Running; 3]);
        drop(release);
        host.stop(LIMIT).unwrap();
    });
}
