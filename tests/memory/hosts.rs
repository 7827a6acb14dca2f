//! Hosts with thousands of services: snapshots, subscriptions and dependencies stay small.

use crate::allocator::{counted, live_bytes};
use crate::support::{LIMIT, waits};
use hosted::{Host, HostHandle, ServiceOptions, ServiceState, group, task, worker};
use std::thread;

/// Services side by side that have all completed, so that a snapshot inspects no thread.
fn completed(services: usize) -> Host {
    let mut host = Host::new();
    for n in 0..services {
        host.add(format!("s{n}"), task(|_| Ok(()))).after::<&str>([]).stack_size(64 << 10);
    }
    host.start().unwrap();
    host.wait();
    host
}

/// Runs `f` on a thread with a small stack, so that recursion over the services of a host would overflow it.
fn on_64_kib<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::Builder::new().stack_size(64 << 10).spawn(f).unwrap().join().unwrap()
}

#[test]
fn a_snapshot_of_two_thousand_groups_fits_on_a_small_stack() {
    const GROUPS: usize = 2_000;
    let mut host = Host::new();
    for n in 0..GROUPS {
        let fill = |group: &mut Host| {
            group.add("child", task(|_| Ok(()))).stack_size(64 << 10);
            Ok(())
        };
        host.add(format!("g{n}"), group(fill)).after::<&str>([]).stack_size(128 << 10);
    }
    host.start().unwrap();
    host.wait();
    let handle: HostHandle = host.handle();
    let rows = on_64_kib(move || handle.services());
    let names: Vec<String> = rows.iter().map(|row| row.name.to_string()).collect();
    let expected: Vec<String> = (0..GROUPS).flat_map(|n| [format!("g{n}"), format!("g{n}/child")]).collect();
    assert_eq!(names, expected);
    let report = on_64_kib(move || host.stop(LIMIT).unwrap());
    assert!(report.services.iter().map(|service| service.name.to_string()).eq(expected));
}

#[test]
fn a_snapshot_allocates_as_often_for_ten_thousand_services_as_for_ten() {
    let allocations = [10, 10_000].map(|services| {
        let host = completed(services);
        let (rows, allocations, _) = counted(|| host.handle().services());
        assert_eq!(rows.len(), services);
        assert!(rows.iter().all(|row| row.state == ServiceState::Completed));
        allocations
    });
    assert_eq!(allocations[0], allocations[1]);
}

#[test]
fn a_nested_group_stands_behind_its_group_and_before_the_next_service() {
    let mut host = Host::new();
    let inner = |group: &mut Host| {
        group.add("a", task(|_| Ok(())));
        group.add("b", task(|_| Ok(())));
        Ok(())
    };
    host.add(
        "outer",
        group(move |outer| {
            outer.add("first", task(|_| Ok(())));
            outer.add("inner", group(inner));
            outer.add("last", task(|_| Ok(())));
            Ok(())
        }),
    );
    host.add("next", group(inner));
    host.start().unwrap();
    let names = |host: &Host| host.handle().services().iter().map(|row| row.name.to_string()).collect::<Vec<_>>();
    let expected = [
        "outer",
        "outer/first",
        "outer/inner",
        "outer/inner/a",
        "outer/inner/b",
        "outer/last",
        "next",
        "next/a",
        "next/b",
    ];
    assert_eq!(names(&host), expected);
    let report = host.stop(LIMIT).unwrap();
    assert!(report.services.iter().map(|service| &*service.name).eq(expected));
}

#[test]
fn a_dropped_subscription_of_a_quiet_host_frees_its_room() {
    const SUBSCRIPTIONS: isize = 2_000;
    let mut host = Host::new();
    let before = live_bytes();
    (0..SUBSCRIPTIONS).for_each(|_| drop(host.events()));
    let each = (live_bytes() - before) / SUBSCRIPTIONS;
    assert!(each < 1_024, "{each} bytes are left of a dropped subscription");
    host.start().unwrap(); // the next event
    let left = live_bytes() - before;
    assert!(left < 32 << 10, "{left} bytes are left of {SUBSCRIPTIONS} dropped subscriptions after an event");
}

#[test]
fn a_subscription_that_nobody_reads_stays_bounded_and_is_freed_when_it_is_dropped() {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let mut host = Host::new();
    host.add(
        "reporter",
        worker(move |ctx| {
            sender.send(ctx.clone())?;
            waits(ctx)
        }),
    );
    host.start().unwrap();
    let ctx = receiver.recv_timeout(LIMIT).unwrap();
    ctx.report_error("x"); // allocates what a report needs besides
    let before = live_bytes();
    let events = host.events();
    (0..1_024).for_each(|_| ctx.report_error("x"));
    let full = live_bytes();
    (0..10_000).for_each(|_| ctx.report_error("x"));
    assert!(full > before + 1_024 && live_bytes() <= full, "{before}, {full}, {}", live_bytes());
    drop(events);
    assert!(live_bytes() < before + 2_048, "{} bytes are left", live_bytes() - before);
    host.stop(LIMIT).unwrap();
}

#[test]
fn a_dependency_takes_a_few_bytes_however_long_its_name() {
    const SERVICES: usize = 600;
    let edges = SERVICES * (SERVICES - 1) / 2;
    let name = |n: usize| format!("a service with a rather long name, as people give them: number {n:04}");
    let names: Vec<String> = (0..SERVICES).map(name).collect();
    let mut host = Host::new();
    let before = live_bytes();
    for n in 0..SERVICES {
        host.add(name(n), task(|_| Ok(()))).after(&names[..n]);
    }
    let each = (live_bytes() - before) as f64 / edges as f64;
    assert!(each < 16.0, "a dependency takes {each} bytes");
}

#[test]
fn options_made_alone_or_for_another_host_name_services_by_their_names() {
    let mut other = Host::new();
    other.add("b", task(|_| Ok(())));
    let of_another = other.add("x", task(|_| Ok(()))).after(["b"]).clone();
    let mut alone = ServiceOptions::default();
    alone.after(["b"]);
    for options in [of_another, alone] {
        assert!(format!("{options:?}").contains(r#"after: ["b"]"#), "{options:?}");
        let mut host = Host::new();
        host.add("a", task(|_| Ok(()))); // so that `b` has another position here
        host.add("b", task(waits)).after::<&str>([]).start_timeout(LIMIT);
        *host.add("c", task(|_| Err("it has started".into()))) = options.clone();
        let starting = host.handle();
        let stopper = thread::spawn(move || {
            // `a` is done, and `c` waits for `b`, which waits for the stop.
            while starting.services().iter().map(|row| row.state).ne([
                ServiceState::Completed,
                ServiceState::Starting,
                ServiceState::Waiting,
            ]) {
                thread::yield_now();
            }
            starting.request_stop();
        });
        let error = host.start().unwrap_err();
        stopper.join().unwrap();
        assert!(error.failures().is_empty(), "{error}");
        let mut unknown = Host::new();
        *unknown.add("c", task(|_| Ok(()))) = options;
        let text = unknown.start().unwrap_err().to_string();
        assert!(text.contains("service `c`: unknown dependency `b`"), "{text}");
    }
}
