//! Guarantee 26: waiting until the whole host has started. (The tests of a second start are in `plan`.)

use crate::support::{LIMIT, idle, idle_phase, in_phase, in_time};
use crossbeam_channel::unbounded;
use hosted::{Context, Host, HostState, Outcome, Phase, Restart, Result, Service, StopSource, Stopped, group, worker};
use std::sync::Mutex;
use std::time::Duration;

// 26
#[test]
fn a_worker_and_a_child_of_a_group_can_wait_until_the_whole_host_has_started() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let waiter = |name: &'static str| {
            let (sender, handle) = (sender.clone(), host.handle());
            worker(move |ctx| {
                ctx.wait_until_started()?;
                sender.send((name, handle.state()))?;
                idle_phase(Phase::Run, ctx)
            })
        };
        let (a, child) = (waiter("a"), Mutex::new(Some(waiter("child"))));
        host.add("a", a);
        let fill = move |inside: &mut Host| {
            inside.add("child", child.lock().unwrap().take().ok_or("only once")?);
            Ok(())
        };
        host.add("group", group(fill));
        host.add("last", idle());
        host.start().unwrap();
        let mut seen = [receiver.recv().unwrap(), receiver.recv().unwrap()];
        seen.sort_unstable_by_key(|seen| seen.0);
        assert_eq!(seen, [("a", HostState::Started), ("child", HostState::Started)]);
        host.stop(LIMIT).unwrap();
    });
}

// 26
#[test]
fn wait_until_started_returns_at_once_after_the_start() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let run = move |ctx: &Context| {
            ctx.wait_until_started()?;
            sender.send(ctx.restarts())?;
            if ctx.restarts() < 2 { Err("again".into()) } else { idle_phase(Phase::Run, ctx) }
        };
        host.add("a", worker(run)).restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
        host.start().unwrap();
        assert_eq!(receiver.iter().take(3).collect::<Vec<_>>(), [0, 1, 2]);
        host.stop(LIMIT).unwrap();
    });
}

// 26
#[test]
fn a_stop_and_a_failed_start_end_the_wait_for_the_start() {
    in_time(|| {
        let starts: [fn(&Context) -> Result; 2] = [
            |_| Err("no".into()),
            |ctx| {
                ctx.host().request_stop();
                Ok(())
            },
        ];
        for start in starts {
            let (mut host, (sender, receiver)) = (Host::new(), unbounded());
            let run = move |ctx: &Context| {
                let waited = ctx.wait_until_started();
                sender.send(waited)?;
                Ok(waited?)
            };
            host.add("a", worker(run));
            host.add("last", in_phase(Phase::Start, start));
            let error = host.start().unwrap_err();
            assert_eq!(receiver.recv(), Ok(Err(Stopped)));
            assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
        }
    });
}

// 26
#[test]
fn a_start_that_fails_at_the_very_end_never_counts_as_started() {
    in_time(|| {
        for round in 0..2_000 {
            let (mut host, (sender, receiver)) = (Host::new(), unbounded());
            host.add("a", worker(move |ctx| Ok(sender.send(ctx.wait_until_started())?)));
            let run = move |ctx: &Context| {
                (0..round % 500 * 4).for_each(|n| _ = std::hint::black_box(n));
                ctx.host().request_stop();
                Ok(())
            };
            host.add("b", worker(run));
            let started = host.start();
            drop(host);
            if started.is_err() {
                assert_eq!(receiver.recv(), Ok(Err(Stopped)), "round {round}");
            }
        }
    });
}

// 26
#[test]
fn wait_until_started_returns_at_once_without_a_host() {
    let stop = StopSource::new();
    let ctx = Context::new("a", stop.token());
    assert_eq!(ctx.wait_until_started(), Ok(()));
    stop.request_stop();
    assert_eq!(ctx.wait_until_started(), Err(Stopped));
}

// 26
#[test]
fn in_a_unit_test_of_a_group_its_children_wait_for_no_host() {
    let (sender, receiver) = unbounded();
    let fill = move |inside: &mut Host| {
        let sender = sender.clone();
        inside.add("child", worker(move |ctx| Ok(sender.send(ctx.wait_until_started())?)));
        Ok(())
    };
    let (mut group, stop) = (group(fill), StopSource::new());
    group.start(&Context::new("group", stop.token())).unwrap();
    assert_eq!(receiver.recv_timeout(LIMIT), Ok(Ok(())));
}
