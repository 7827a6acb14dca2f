//! Guarantees 25, 26, 27, 30 and 36: a host from its start to its stop. (The tests of how services end are in `ends`.)

use crate::support::{LIMIT, by_phase, failures, idle, idle_phase, in_phase, in_time};
use crossbeam_channel::{Sender, bounded, unbounded};
use hosted::{
    Context, Host, HostState, Outcome, Phase, Result, ServiceState, StopReason, StopSource, StopToken, worker,
};
use std::error::Error;
use std::thread;
use std::time::Duration;

// 25
#[test]
fn a_service_that_fails_while_a_later_one_starts_ends_the_start_and_is_the_cause() {
    in_time(|| {
        let (mut host, (sender, starting)) = (Host::new(), bounded::<()>(0));
        let run = move |_: &Context| {
            starting.recv()?;
            Err("lost the connection".into())
        };
        host.add("a", worker(run));
        let start = move |ctx: &Context| {
            sender.send(())?;
            Ok(ctx.sleep(Duration::MAX)?)
        };
        host.add("b", in_phase(Phase::Start, start));
        host.add("c", idle());
        let error = host.start().unwrap_err();
        assert_eq!(failures(&error), [("a", Phase::Run)]);
        assert_eq!(error.report().reason, StopReason::Failed("a".into()));
        let [_, b, c] = &error.report().services[..] else { panic!("three services: {error}") };
        assert!(matches!((&b.outcome, &c.outcome), (Outcome::Stopped, Outcome::NeverStarted)), "{error}");
    });
}

// 26
#[test]
fn a_stop_requested_before_the_start_stops_the_coming_run() {
    in_time(|| {
        let host = |calls: &Sender<()>| {
            let (mut host, calls) = (Host::new(), calls.clone());
            host.add("a", by_phase(move |_, _| Ok(calls.send(())?)));
            host
        };
        let (calls, called) = unbounded();
        let mut started = host(&calls);
        started.handle().request_stop();
        let error = started.start().unwrap_err();
        assert!(error.failures().is_empty() && error.source().is_none(), "{error}");
        assert_eq!((&error.report().reason, started.handle().state()), (&StopReason::Requested, HostState::Stopped));
        let mut run = host(&calls);
        run.handle().request_stop();
        assert_eq!(run.run_until(&StopToken::never()).unwrap().reason, StopReason::Requested);
        let (mut run, stop) = (host(&calls), StopSource::new());
        stop.request_stop();
        let report = run.run_until(&stop.token()).unwrap();
        assert_eq!(report.reason, StopReason::Requested);
        assert!(matches!(report.services[0].outcome, Outcome::NeverStarted), "{report}");
        assert!(called.try_recv().is_err(), "a service was called");
    });
}

// 27
#[test]
fn an_empty_host_starts_stops_and_ends() {
    in_time(|| {
        let mut host = Host::new();
        host.start().unwrap();
        assert_eq!(host.wait(), StopReason::AllCompleted);
        let report = host.stop(LIMIT).unwrap();
        assert!(report.services.is_empty());
        let report = Host::new().run_until(&StopToken::never()).unwrap();
        assert_eq!(report.reason, StopReason::AllCompleted);
        drop(Host::new());
    });
}

// 30
#[test]
fn a_new_service_sees_no_stop_request() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let service = by_phase(move |phase, ctx| {
            sender.send((phase, ctx.stop_requested()))?;
            idle_phase(phase, ctx)
        });
        host.add("a", service);
        host.start().unwrap();
        let calls = [receiver.recv().unwrap(), receiver.recv().unwrap()];
        assert_eq!(calls, [(Phase::Start, false), (Phase::Run, false)]);
        host.stop(LIMIT).unwrap();
        assert_eq!(receiver.recv(), Ok((Phase::Stop, true)));
    });
}

// 30
#[test]
fn a_service_stopped_while_it_starts_runs_once_with_a_stopped_token() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        let service = by_phase(move |phase, ctx| {
            sender.send((phase, ctx.stop_requested()))?;
            if phase == Phase::Start {
                ctx.host().request_stop();
                ctx.wait();
            }
            Ok(())
        });
        host.add("a", service);
        host.start().unwrap_err();
        let calls: Vec<_> = receiver.try_iter().collect();
        assert_eq!(calls, [(Phase::Start, false), (Phase::Run, true), (Phase::Stop, true)]);
    });
}

// 30
#[test]
fn a_host_stopped_right_after_its_start_has_run_each_service_once() {
    in_time(|| {
        for _ in 0..100 {
            let (mut host, (sender, receiver)) = (Host::new(), unbounded());
            for name in ["a", "b", "c"] {
                let sender = sender.clone();
                host.add(name, worker(move |ctx| Ok(sender.send(ctx.name().to_owned())?)));
            }
            host.start().unwrap();
            host.stop(LIMIT).unwrap();
            let mut bodies: Vec<_> = receiver.try_iter().collect();
            bodies.sort();
            assert_eq!(bodies, ["a", "b", "c"]);
        }
    });
}

// 36
#[test]
fn a_stop_may_be_requested_from_inside_any_phase_of_a_service() {
    in_time(|| {
        for at in [Phase::Start, Phase::Run, Phase::Stop] {
            let mut host = Host::new();
            host.add("a", idle());
            let service = by_phase(move |phase, ctx| {
                if phase == at {
                    ctx.host().request_stop();
                }
                Ok(())
            });
            host.add("b", service);
            assert_eq!(host.run_until(&StopToken::never()).unwrap().reason, StopReason::Requested);
        }
    });
}

// 36
#[test]
fn a_stop_may_be_requested_from_a_handle_on_another_thread() {
    in_time(|| {
        let (mut host, (sender, running)) = (Host::new(), bounded(0));
        let run = move |ctx: &Context| {
            sender.send(())?;
            idle_phase(Phase::Run, ctx)
        };
        host.add("a", worker(run));
        let handle = host.handle();
        let requester = thread::spawn(move || {
            running.recv().unwrap();
            handle.request_stop();
            handle.request_stop(); // a second request changes nothing
            handle
        });
        assert_eq!(host.run_until(&StopToken::never()).unwrap().reason, StopReason::Requested);
        let handle = requester.join().unwrap();
        drop(host);
        handle.request_stop(); // the handle outlives its host
        assert_eq!((handle.state(), handle.services()[0].state), (HostState::Stopped, ServiceState::Stopped));
    });
}

// 36
#[test]
fn a_stop_may_be_requested_from_callbacks_of_stopping_and_of_a_services_own_token() {
    in_time(|| {
        let ask = |ctx: &Context| {
            ctx.host().request_stop();
            Ok(())
        };
        let causes: [fn(&Context) -> Result; 2] = [ask, |_| Err("broken".into())];
        for cause in causes {
            let (mut host, (sender, receiver)) = (Host::new(), unbounded());
            let (handle, done) = (host.handle(), sender.clone());
            let _guard = host.handle().stopping().on_stop(move || {
                handle.request_stop();
                _ = done.send(handle.services().len());
            });
            let run = move |ctx: &Context| {
                let (handle, done) = (ctx.host().clone(), sender.clone());
                let (over, called) = bounded::<()>(0);
                let _guard = ctx.on_stop(move || {
                    let _over = over;
                    handle.request_stop();
                    _ = done.send(handle.services().len());
                });
                _ = called.recv(); // the guard lives until the callback has run
                Ok(())
            };
            host.add("a", worker(run));
            host.add("b", worker(cause));
            _ = host.run_until(&StopToken::never());
            assert_eq!((receiver.recv(), receiver.recv()), (Ok(2), Ok(2)));
        }
    });
}
