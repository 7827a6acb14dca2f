//! A host that is given to its own services, forgotten, nested by hand, or called twice.

use crate::support::{LIMIT, idle, in_time};
use crossbeam_channel::{Sender, bounded, unbounded};
use hosted::{
    Context, EventKind, Host, HostHandle, HostState, Outcome, Phase, Report, Service, ServiceState, StopReason,
    StopSource, StopToken, worker,
};
use std::time::Duration;

const SHORT: Duration = Duration::from_millis(50);

/// A host whose one service receives the host itself and calls `what` with it.
fn handed_to_its_own_service(what: impl Fn(Host, &Context) + Send + 'static) -> (HostHandle, StopToken) {
    let (hand, handed) = bounded::<Host>(1);
    let (mut host, over) = (Host::new(), StopSource::new());
    let token = over.token();
    let run = move |ctx: &Context| {
        what(handed.recv()?, ctx);
        over.request_stop();
        Ok(())
    };
    host.stop_timeout(SHORT).add("owner", worker(run));
    host.start().unwrap();
    let handle = host.handle();
    hand.send(host).unwrap();
    (handle, token)
}

#[test]
fn a_service_that_stops_its_own_host_is_hung_until_that_stop_returns() {
    in_time(|| {
        let (back, returned) = bounded(1);
        let stop = move |mut host: Host, _: &Context| {
            let stopped = host.stop(SHORT);
            back.send((stopped, host)).unwrap();
        };
        let (_, over) = handed_to_its_own_service(stop);
        over.wait();
        let (stopped, mut host) = returned.recv().unwrap();
        let error = stopped.unwrap_err();
        let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("hung: {error}") };
        assert_eq!(hung.phase, Phase::Run);
        let report = host.stop(LIMIT).unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    });
}

#[test]
fn a_service_that_drops_its_own_host_is_hung_until_the_stop_timeout() {
    in_time(|| {
        let (sender, receiver) = bounded(1);
        let (handle, over) = handed_to_its_own_service(move |host, ctx| {
            drop(host);
            sender.send((ctx.stop_requested(), ctx.host().services()[0].state)).unwrap();
        });
        over.wait();
        assert_eq!(receiver.recv(), Ok((true, ServiceState::Hung)));
        assert_eq!(handle.state(), HostState::Stopped);
    });
}

#[test]
fn a_service_cannot_start_its_own_host_and_a_request_ends_its_wait_for_it() {
    in_time(|| {
        let (sender, receiver) = bounded(1);
        let (handle, over) = handed_to_its_own_service(move |mut host, _| {
            let refused = host.run_until(&StopToken::never()).unwrap_err().to_string();
            sender.send(refused).unwrap();
            assert_eq!(host.wait(), StopReason::Requested);
        });
        assert!(receiver.recv().unwrap().contains("a host can run only once"));
        handle.request_stop();
        over.wait();
    });
}

/// A service that runs a second host until its own `stop`, and reports when that host has started.
fn runs_a_host(stop: impl Fn(&Context) -> StopToken + Send + 'static, sender: Sender<HostHandle>) -> impl Service {
    worker(move |ctx| {
        let (mut inner, sender) = (Host::new(), sender.clone());
        let run = move |ctx: &Context| {
            ctx.wait_until_started()?;
            sender.send(ctx.host().clone())?;
            Ok(ctx.sleep(Duration::MAX)?)
        };
        inner.add("inner", worker(run));
        inner.run_until(&stop(ctx))?;
        Ok(())
    })
}

#[test]
fn a_host_that_a_service_runs_stops_with_it_if_given_its_token() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        host.add("outer", runs_a_host(|ctx| ctx.stop_token().clone(), sender));
        host.start().unwrap();
        let inner = receiver.recv().unwrap();
        host.stop(LIMIT).unwrap();
        assert_eq!(inner.state(), HostState::Stopped);
    });
}

#[test]
fn a_host_run_by_a_service_without_its_token_leaves_the_service_hung() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), unbounded());
        host.add("outer", runs_a_host(|_| StopToken::never(), sender));
        host.start().unwrap();
        let inner = receiver.recv().unwrap();
        let error = host.stop(SHORT).unwrap_err();
        assert!(matches!(error.report().services[0].outcome, Outcome::Hung(_)), "{error}");
        inner.request_stop();
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn services_of_a_forgotten_host_keep_running_and_receive_no_stop_request() {
    in_time(|| {
        let (mut host, (sender, receiver)) = (Host::new(), bounded::<()>(0));
        host.add("a", worker(move |ctx| ctx.recv(&receiver).map_err(Into::into)));
        host.start().unwrap();
        let (handle, events) = (host.handle(), host.events());
        std::mem::forget(host);
        handle.request_stop();
        assert!(handle.stopping().stop_requested());
        assert_eq!((handle.state(), handle.services()[0].state), (HostState::Stopping, ServiceState::Running));
        sender.send(()).unwrap(); // it still waits, and has received no stop request
        assert!(events.iter().any(|event| matches!(event.kind, EventKind::Completed)));
    });
}

/// A host that has stopped, and the context that its service has sent out.
fn let_out(run: impl Fn(&Context) -> hosted::Result + Send + 'static) -> (Host, Report, Context) {
    let (mut host, (sender, receiver)) = (Host::new(), unbounded());
    let body = move |ctx: &Context| {
        sender.send(ctx.clone())?;
        run(ctx)
    };
    host.add("a", worker(body));
    let report = host.run_until(&StopToken::never()).unwrap();
    let ctx = receiver.recv().unwrap();
    (host, report, ctx)
}

#[test]
fn a_context_that_outlives_its_service_and_its_host_still_answers() {
    in_time(|| {
        let (host, _, ctx) = let_out(|ctx| {
            ctx.host().request_stop();
            Ok(ctx.sleep(Duration::MAX)?)
        });
        drop(host);
        assert!(ctx.stop_requested() && ctx.sleep(Duration::MAX).is_err());
        assert_eq!((ctx.name(), ctx.restarts(), ctx.host().state()), ("a", 0, HostState::Stopped));
        ctx.report_error("too late");
        let status = ctx.host().services().remove(0);
        assert_eq!((status.state, status.errors), (ServiceState::Stopped, 1));
        assert_eq!(status.last_error.as_deref(), Some("too late"));
        assert_eq!(ctx.wait_until_started(), Err(hosted::Stopped));
        let (sender, receiver) = bounded(1);
        let _guard = ctx.on_stop(move || sender.send(()).unwrap());
        assert_eq!(receiver.try_recv(), Ok(()), "it runs at once, on this thread");
    });
}

#[test]
fn the_context_of_a_completed_service_is_not_stopped_but_stopping_is() {
    in_time(|| {
        let (host, report, ctx) = let_out(|_| Ok(()));
        assert_eq!(report.reason, StopReason::AllCompleted);
        assert!(!ctx.stop_requested() && ctx.stop_deadline().is_none());
        ctx.host().stopping().wait();
        drop(host);
        assert!(!ctx.stop_token().wait_timeout(Duration::ZERO));
    });
}

#[test]
fn a_second_stop_of_a_stopped_host_returns_the_same_report() {
    in_time(|| {
        let mut host = Host::new();
        host.add("a", idle());
        host.start().unwrap();
        let first = host.stop(LIMIT).unwrap();
        for timeout in [Duration::ZERO, Duration::MAX] {
            assert_eq!(host.stop(timeout).unwrap().to_string(), first.to_string());
        }
        assert_eq!(host.wait(), StopReason::Requested);
    });
}

#[test]
fn a_wait_before_the_start_ends_with_the_first_request_and_many_requests_are_one() {
    in_time(|| {
        let mut host = Host::new();
        let handle = host.handle();
        host.add("a", idle());
        let requester = std::thread::spawn(move || (0..10_000).for_each(|_| handle.request_stop()));
        assert_eq!(host.wait(), StopReason::Requested);
        requester.join().unwrap();
        let report = host.run_until(&StopToken::never()).unwrap();
        assert!(matches!(report.services[0].outcome, Outcome::NeverStarted), "{report}");
    });
}
