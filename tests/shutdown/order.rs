//! Guarantees 47, 48, 50, 51, 52, 56 and 57: a shutdown runs in reverse order, within its time, and reaches every
//! service. (The tests of 49 and 53 are in `hung`.)

use crate::support::{LIMIT, failures, idle, stop_timed_out, unresponsive};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::{Cause, Context, Host, HostState, Outcome, Phase, Report, Result, Service, StopReason, worker};
use std::time::{Duration, Instant};

/// A service that runs until its stop request, sends the time of the request, and then drops `held`.
fn polite(mut held: Option<Sender<()>>) -> (impl Service, Receiver<Instant>) {
    let (sender, receiver) = unbounded();
    let run = move |ctx: &Context| {
        ctx.wait();
        sender.send(Instant::now())?;
        drop(held.take());
        Ok(())
    };
    (worker(run), receiver)
}

/// Reports each call. Its `stop` returns what the test wants.
struct Witness {
    name: &'static str,
    calls: Sender<(&'static str, &'static str)>,
    at_stop: fn() -> Result,
}

impl Service for Witness {
    fn start(&mut self, _: &Context) -> Result {
        Ok(self.calls.send((self.name, "start"))?)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.calls.send((self.name, "run"))?;
        ctx.wait();
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        self.calls.send((self.name, "stop"))?;
        (self.at_stop)()
    }
}

fn outcomes(report: &Report) -> Vec<(&str, &Outcome)> {
    report.services.iter().map(|service| (&*service.name, &service.outcome)).collect()
}

// 47
#[test]
fn a_stop_without_a_start_returns_ok_and_calls_no_service() {
    let (calls, called) = unbounded();
    let mut host = Host::new();
    host.add("idle", Witness { name: "idle", calls, at_stop: || Err("never".into()) });
    for _ in 0..2 {
        let report = host.stop(LIMIT).unwrap();
        assert_eq!(report.reason, StopReason::Requested);
        assert!(matches!(outcomes(&report)[..], [("idle", Outcome::NeverStarted)]), "{report}");
        assert_eq!((report.took, report.services[0].stop_took), (Duration::ZERO, Duration::ZERO));
    }
    assert_eq!(host.handle().state(), HostState::Stopped);
    drop(host);
    assert_eq!(called.iter().count(), 0); // the service is dropped, so no further call can be reported
}

// 47
#[test]
fn a_host_that_was_stopped_before_its_start_does_not_start() {
    let (calls, called) = unbounded();
    let mut host = Host::new();
    host.add("idle", Witness { name: "idle", calls, at_stop: || Ok(()) });
    host.stop(LIMIT).unwrap();
    assert!(host.handle().stopping().stop_requested());
    assert!(host.start().unwrap_err().failures().is_empty());
    drop(host);
    assert_eq!(called.iter().count(), 0);
}

// 48
#[test]
fn after_an_error_or_a_panic_in_a_stop_all_others_are_stopped_and_reported() {
    let (calls, called) = unbounded();
    let mut host = Host::new();
    let mut add = |name, at_stop: fn() -> Result| {
        host.add(name, Witness { name, calls: calls.clone(), at_stop });
    };
    add("a", || Ok(()));
    add("b", || Err("no flush".into()));
    add("c", || panic!("ouch"));
    add("d", || Err("no close".into()));
    add("e", || Ok(()));
    drop(calls);
    host.start().unwrap();
    let error = host.stop(LIMIT).unwrap_err();

    let stops: Vec<_> = called.iter().filter(|call| call.1 == "stop").map(|call| call.0).collect();
    assert_eq!(stops, ["e", "d", "c", "b", "a"]);
    assert_eq!(failures(&error), [("d", Phase::Stop), ("c", Phase::Stop), ("b", Phase::Stop)]);
    assert!(matches!(error.failures()[0].cause(), Cause::Failed(cause) if cause.to_string() == "no close"));
    assert!(matches!(error.failures()[1].cause(), Cause::Panicked(text) if text == "ouch"));
    use Outcome::{Failed, Stopped};
    let all = outcomes(error.report());
    assert!(
        matches!(all[..], [("a", Stopped), ("b", Failed(_)), ("c", Failed(_)), ("d", Failed(_)), ("e", Stopped)]),
        "{error}"
    );
    assert_eq!(error.report().reason, StopReason::Requested, "a failure during the shutdown is not the reason");
}

// 50
#[test]
fn four_hung_services_cost_one_timeout() {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let mut host = Host::new();
    let mut releases = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let (service, release) = unresponsive();
        host.add(name, service);
        releases.push(release);
    }
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(TIMEOUT).unwrap_err();
    let took = began.elapsed();
    assert!(took >= TIMEOUT && took < 4 * TIMEOUT, "{took:?}");
    assert!(error.report().services.iter().all(|service| matches!(service.outcome, Outcome::Hung(_))), "{error}");
    assert_eq!(error.failures().len(), 4);
    drop(releases);
    host.stop(LIMIT).unwrap();
}

// 51
#[test]
fn a_slow_service_delays_its_dependencies_by_half_of_the_remaining_time() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    let (slow, release) = unresponsive();
    let (first, stop_request) = polite(Some(release)); // the slow service exits as soon as its dependency has its stop request
    let mut host = Host::new();
    host.add("first", first);
    host.add("slow", slow);
    host.start().unwrap();
    let began = Instant::now();
    let report = host.stop(TIMEOUT).unwrap();
    let held_up = stop_request.recv().unwrap() - began;
    assert!(held_up >= TIMEOUT / 2, "requested after {held_up:?}, while a dependent was alive");
    assert!(held_up < TIMEOUT * 3 / 4, "requested after {held_up:?}, which is too late");
    assert_eq!(stop_timed_out(&report), ["slow"]);
    assert!(matches!(outcomes(&report)[..], [("first", Outcome::Stopped), ("slow", Outcome::Stopped)]), "{report}");
}

// 51
#[test]
fn all_services_receive_their_stop_request_in_order_if_many_are_unresponsive() {
    let names: Vec<String> = (0..40).map(|n| format!("stuck {n}")).collect(); // more services than halving the time can serve
    let mut host = Host::new();
    let mut releases = Vec::new();
    for name in &names {
        let (service, release) = unresponsive();
        host.add(name.as_str(), service);
        releases.push(release);
    }
    host.start().unwrap();
    let events = host.events();
    let error = host.stop(Duration::from_millis(500)).unwrap_err();
    let lines: Vec<String> = events.try_iter().map(|event| event.to_string()).collect();
    let stop_request: Vec<&String> = lines.iter().filter(|line| line.ends_with("is stopping")).collect();
    let in_reverse: Vec<String> = names.iter().rev().map(|name| format!("service `{name}` is stopping")).collect();
    assert_eq!(stop_request, in_reverse.iter().collect::<Vec<_>>());
    let place = |part: &str| lines.iter().position(|line| line.contains(part));
    assert!(place("service `stuck 0` is stopping") < place("did not stop"), "{lines:#?}");
    assert_eq!(stop_timed_out(error.report()), names[1..], "the first depends on nobody");
    let timed_out = lines.iter().filter(|line| line.contains("stopping its dependencies now")).count();
    assert_eq!(timed_out, names.len() - 1, "{lines:#?}");
    drop(releases);
    host.stop(LIMIT).unwrap();
}

// 52
#[test]
fn a_services_own_stop_timeout_lets_its_dependencies_stop_earlier() {
    const OWN: Duration = Duration::from_millis(50);
    let (slow, release) = unresponsive();
    let (first, stop_request) = polite(Some(release));
    let mut host = Host::new();
    host.add("first", first);
    host.add("slow", slow).stop_timeout(OWN);
    host.start().unwrap();
    let began = Instant::now();
    let report = host.stop(2 * LIMIT).unwrap(); // half of this is longer than the limit
    let held_up = stop_request.recv().unwrap() - began;
    assert!(held_up >= OWN && held_up < LIMIT, "{held_up:?}");
    assert_eq!(stop_timed_out(&report), ["slow"]);
    assert!(matches!(report.services[1].outcome, Outcome::Stopped), "{report}");
}

// 52
#[test]
fn a_stop_timeout_beyond_the_hosts_is_half_of_the_remaining_time() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let (slow, release) = unresponsive();
    let (first, stop_request) = polite(Some(release));
    let mut host = Host::new();
    host.add("first", first);
    host.add("slow", slow).stop_timeout(LIMIT);
    host.start().unwrap();
    let began = Instant::now();
    host.stop(TIMEOUT).unwrap();
    let held_up = stop_request.recv().unwrap() - began;
    assert!(held_up >= TIMEOUT / 2 && held_up < TIMEOUT * 3 / 4, "{held_up:?}");
}

// 56
#[test]
fn a_service_that_fails_while_it_is_stopped_is_reported_as_failed_once() {
    let mut host = Host::new();
    host.add("db", idle());
    host.add(
        "feed",
        worker(|ctx| {
            ctx.wait();
            Err("connection reset".into())
        }),
    );
    host.start().unwrap();
    for _ in 0..2 {
        let error = host.stop(LIMIT).unwrap_err();
        assert_eq!(failures(&error), [("feed", Phase::Run)]);
        assert!(matches!(error.failures()[0].cause(), Cause::Failed(cause) if cause.to_string() == "connection reset"));
        let feed = &error.report().services[1];
        assert!(matches!(&feed.outcome, Outcome::Failed(failure) if failure.phase() == Phase::Run), "{error}");
        assert_eq!(feed.errors, 1);
        assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
    }
}

// 57
#[test]
fn with_a_timeout_of_zero_all_services_receive_a_stop_request_without_a_wait() {
    let mut host = Host::new();
    let (tokens, theirs) = unbounded();
    let (release, held) = bounded::<()>(0);
    for name in ["a", "b", "c", "d"] {
        let (tokens, held) = (tokens.clone(), held.clone());
        let run = move |ctx: &Context| {
            tokens.send(ctx.stop_token().clone())?;
            _ = held.recv();
            Ok(())
        };
        host.add(name, worker(run));
    }
    host.start().unwrap();
    let tokens: Vec<_> = theirs.iter().take(4).collect();
    let error = host.stop(Duration::ZERO).unwrap_err(); // the services cannot exit before `stop` returns, so it did not wait
    assert!(tokens.iter().all(|token| token.stop_requested()));
    assert!(error.report().services.iter().all(|service| matches!(service.outcome, Outcome::Hung(_))), "{error}");
    assert_eq!(
        stop_timed_out(error.report()),
        ["b", "c", "d"],
        "each was alive when its dependencies received their requests"
    );
    drop(release);
    host.stop(LIMIT).unwrap();
}
