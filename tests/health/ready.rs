//! Guarantees 157 and 158: when a host has started, is ready, and is live.

use crate::support::{Gate, LIMIT, MS, in_phase, unresponsive};
use crossbeam_channel::bounded;
use hosted::{Context, EventKind, Health, Host, HostHandle, OnFailure, Phase, Service, ServiceStatus, group, worker};

/// `has_started`, `is_ready` and `is_live`.
fn probes(handle: &HostHandle) -> (bool, bool, bool) {
    (handle.has_started(), handle.is_ready(), handle.is_live())
}

/// A service that is degraded as soon as it is ready.
fn degraded() -> impl Service {
    in_phase(Phase::Start, |ctx| {
        ctx.degraded("no route");
        Ok(())
    })
}

fn row(handle: &HostHandle, service: &str) -> ServiceStatus {
    handle.services().into_iter().find(|status| &*status.name == service).unwrap()
}

// 157
#[test]
fn a_host_is_ready_from_its_start_until_a_stop_is_requested() {
    let gate = Gate::new();
    let mut host = Host::new();
    let at_gate = gate.clone();
    host.add("slow", in_phase(Phase::Start, move |ctx| at_gate.pass(ctx)));
    let handle = host.handle();
    assert_eq!(probes(&handle), (false, false, true));
    let starter = std::thread::spawn(move || {
        host.start().unwrap();
        host
    });
    gate.arrival();
    assert_eq!(probes(&handle), (false, false, true), "a service is still in its `start`");
    gate.let_one_through();
    let mut host = starter.join().unwrap();
    assert_eq!(probes(&handle), (true, true, true));
    handle.request_stop();
    assert_eq!(probes(&handle), (true, false, true), "load balancers must stop sending");
    host.stop(LIMIT).unwrap();
    assert_eq!(probes(&handle), (true, false, true));
}

// 157
#[test]
fn a_host_that_fails_to_start_has_never_started() {
    let mut host = Host::new();
    host.add("broken", worker(|_| Ok(())));
    host.add("fails", in_phase(Phase::Start, |_| Err("no licence".into())));
    host.start().unwrap_err();
    assert_eq!(probes(&host.handle()), (false, false, true));
}

// 157
#[test]
fn a_failure_and_a_completion_that_stop_the_host_make_it_unready() {
    let (fail, failing) = bounded::<()>(0);
    let mut host = Host::new();
    host.add("fails", worker(move |_: &Context| Err(failing.recv().unwrap_err().into())));
    let handle = host.handle();
    host.start().unwrap();
    assert!(handle.is_ready());
    drop(fail);
    host.wait();
    assert_eq!(probes(&handle), (true, false, true));
    host.stop(LIMIT).unwrap_err();
}

// 157
#[test]
fn a_service_whose_failure_is_ignored_does_not_make_the_host_unready() {
    let mut host = Host::new();
    host.add("statistics", degraded()).on_failure(OnFailure::Ignore);
    host.add("fails", in_phase(Phase::Start, |_| Err("broken".into()))).on_failure(OnFailure::Ignore);
    let handle = host.handle();
    host.start().unwrap();
    assert!(handle.is_ready());
    assert!(matches!(row(&handle, "statistics").health, Health::Degraded { .. }), "and yet the status shows it");
    assert!(row(&handle, "statistics").ignores_failure);
    host.stop(LIMIT).unwrap();
}

// 157
#[test]
fn a_degraded_child_counts_unless_its_own_or_an_outer_failure_is_ignored() {
    let fill = |inner: &mut Host| {
        inner.add(
            "inner",
            group(|host| {
                host.add("broker", degraded());
                Ok(())
            }),
        );
        Ok(())
    };
    for (ignores, ready) in [(OnFailure::StopHost, false), (OnFailure::Ignore, true)] {
        let mut host = Host::new();
        host.add("outer", group(fill)).on_failure(ignores);
        let handle = host.handle();
        host.start().unwrap();
        assert_eq!(handle.is_ready(), ready, "{ignores:?}");
        assert_eq!(row(&handle, "outer/inner/broker").ignores_failure, ready);
        assert!(matches!(row(&handle, "outer/inner/broker").health, Health::Degraded { .. }));
        assert_eq!(row(&handle, "outer").health, Health::Healthy, "a child counts as itself");
        host.stop(LIMIT).unwrap();
    }
    let mut host = Host::new();
    host.add(
        "feed",
        group(|host| {
            host.add("broker", degraded()).on_failure(OnFailure::Ignore);
            Ok(())
        }),
    );
    host.start().unwrap();
    assert!(host.handle().is_ready());
    host.stop(LIMIT).unwrap();
}

// 158
#[test]
fn a_hung_service_makes_the_host_not_live_until_it_has_ended() {
    let (service, release) = unresponsive();
    let mut host = Host::new();
    host.add("hangs", service).on_failure(OnFailure::Ignore);
    let (handle, events) = (host.handle(), host.events());
    host.start().unwrap();
    assert!(handle.is_live());
    host.stop(20 * MS).unwrap_err();
    assert!(events.try_iter().any(|event| matches!(event.kind, EventKind::Hung(_))));
    assert_eq!(probes(&handle), (true, false, false), "its thread still holds what it holds");
    drop(release);
    host.stop(LIMIT).unwrap();
    assert!(handle.is_live());
}
