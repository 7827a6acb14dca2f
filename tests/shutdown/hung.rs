//! Guarantees 49 and 53: a hung service is named, and the host tracks it until it exits.

use crate::support::{LIMIT, hung, idle};
use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Cause, Context, Host, Outcome, Phase, Result, Service, ServiceState, worker};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(200);

/// Blocks in one phase, until the sender is dropped.
struct Stuck {
    within: Phase,
    held: Receiver<()>,
}

fn stuck(within: Phase) -> (Stuck, Sender<()>) {
    let (release, held) = bounded(0);
    (Stuck { within, held }, release)
}

impl Stuck {
    fn come_to(&self, phase: Phase) {
        if self.within == phase {
            _ = self.held.recv();
        }
    }
}

impl Service for Stuck {
    fn run(&mut self, ctx: &Context) -> Result {
        ctx.wait();
        self.come_to(Phase::Run);
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        self.come_to(Phase::Stop);
        Ok(())
    }
}

impl Drop for Stuck {
    fn drop(&mut self) {
        self.come_to(Phase::Drop);
    }
}

// 49
#[test]
fn a_service_hung_in_its_run_is_named_and_all_others_stop_within_the_timeout() {
    is_named_and_alone_hung(Phase::Run);
}

// 49
#[test]
fn a_service_hung_in_its_stop_is_named_and_all_others_stop_within_the_timeout() {
    is_named_and_alone_hung(Phase::Stop);
}

// 49, 76
#[test]
fn a_service_hung_in_its_drop_is_named_and_all_others_stop_within_the_timeout() {
    is_named_and_alone_hung(Phase::Drop);
}

fn is_named_and_alone_hung(phase: Phase) {
    const TIMEOUT: Duration = Duration::from_secs(2); // half of it is for the first service to exit
    let (service, release) = stuck(phase);
    let mut host = Host::new();
    host.add("first", idle());
    host.add("stuck", service);
    host.add("last", idle());
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(TIMEOUT).unwrap_err();
    let took = began.elapsed();

    assert!(took >= TIMEOUT && took < LIMIT / 2, "{took:?}");
    let report = error.report();
    assert_eq!(hung(report, 1).phase, phase);
    assert!(hung(report, 1).thread.starts_with("stuck"), "{error}");
    for other in [&report.services[0], &report.services[2]] {
        assert!(matches!(other.outcome, Outcome::Stopped), "{error}");
    }
    let [failure] = error.failures() else { panic!("one failure: {error}") };
    assert_eq!((failure.service(), failure.phase()), ("stuck", phase));
    assert!(matches!(failure.cause(), Cause::TimedOut(waited) if *waited <= took));
    let text = error.to_string();
    assert!(text.contains(&format!("still in `{phase}`")), "{text}");
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn a_hung_service_is_named_with_the_time_since_its_stop_request() {
    let (sender, receiver) = bounded(1);
    let (release, held) = bounded::<()>(0);
    let run = move |ctx: &Context| {
        ctx.wait();
        sender.send(Instant::now())?;
        _ = held.recv();
        Ok(())
    };
    let mut host = Host::new();
    host.add("stuck", worker(run));
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(SHORT).unwrap_err();
    let took = began.elapsed();
    let stop_request = receiver.recv().unwrap(); // or a little later
    let waited = hung(error.report(), 0).waited;
    assert!(
        waited <= took && waited >= (began + SHORT).saturating_duration_since(stop_request),
        "{waited:?} of {took:?}"
    );
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 49
#[test]
fn a_service_that_failed_and_then_hangs_is_named_for_both() {
    struct Both(Receiver<()>);
    impl Service for Both {
        fn run(&mut self, ctx: &Context) -> Result {
            ctx.wait_until_started()?;
            Err("lost".into())
        }
        fn stop(&mut self, _: &Context) -> Result {
            _ = self.0.recv();
            Ok(())
        }
    }
    let (release, held) = bounded(0);
    let mut host = Host::new();
    host.add("both", Both(held));
    host.start().unwrap();
    host.wait();
    let error = host.stop(SHORT).unwrap_err();
    let all: Vec<Phase> = error.failures().iter().map(|failure| failure.phase()).collect();
    assert_eq!(all, [Phase::Run, Phase::Stop]);
    assert_eq!(hung(error.report(), 0).phase, Phase::Stop);
    drop(release);
    let error = host.stop(LIMIT).unwrap_err();
    assert!(matches!(&error.report().services[0].outcome, Outcome::Failed(first) if first.phase() == Phase::Run));
    assert_eq!(error.failures().len(), 1, "its stop ended well in the end: {error}");
}

// 53
#[test]
fn a_hung_service_is_never_reported_as_stopped_and_a_second_stop_waits_again() {
    let (service, release) = stuck(Phase::Run);
    let mut host = Host::new();
    host.add("stuck", service);
    host.start().unwrap();
    let first = host.stop(SHORT).unwrap_err();
    assert_eq!(host.handle().services()[0].state, ServiceState::Hung);
    let began = Instant::now();
    let second = host.stop(SHORT).unwrap_err();
    assert!(began.elapsed() >= SHORT, "the second stop did not wait");
    assert!(hung(second.report(), 0).waited > hung(first.report(), 0).waited);
    assert_eq!(host.handle().services()[0].state, ServiceState::Hung);
    let report = std::thread::scope(|scope| {
        let third = scope.spawn(|| host.stop(LIMIT));
        drop(release);
        third.join().unwrap().unwrap()
    });
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!(host.handle().services()[0].state, ServiceState::Stopped);
    assert!(host.stop(Duration::ZERO).is_ok(), "nothing is left to wait for");
}

// 53
#[test]
fn the_true_outcome_of_a_hung_service_may_be_a_failure_and_is_reported() {
    let (release, held) = bounded::<()>(0);
    let run = move |_: &Context| {
        _ = held.recv();
        Err("too late".into())
    };
    let mut host = Host::new();
    host.add("stuck", worker(run));
    host.start().unwrap();
    assert_eq!(hung(host.stop(SHORT).unwrap_err().report(), 0).phase, Phase::Run);
    let events = host.events();
    drop(release);
    let error = host.stop(LIMIT).unwrap_err();
    assert!(matches!(error.report().services[0].outcome, Outcome::Failed(_)), "{error}");
    assert!(
        matches!(error.failures(), [one] if matches!(one.cause(), Cause::Failed(why) if why.to_string() == "too late"))
    );
    assert_eq!(host.handle().services()[0].state, ServiceState::Failed);
    assert!(events.try_iter().any(|event| event.to_string().contains("too late")));
}

// 53
#[test]
fn a_service_that_ends_between_two_stops_shows_its_true_end() {
    let (service, release) = stuck(Phase::Drop);
    let mut host = Host::new();
    host.add("stuck", service);
    host.start().unwrap();
    host.stop(SHORT).unwrap_err();
    assert_eq!(host.handle().services()[0].state, ServiceState::Hung);
    drop(release);
    let began = Instant::now();
    while host.handle().services()[0].state != ServiceState::Stopped {
        assert!(began.elapsed() < LIMIT, "it stays hung");
        std::thread::yield_now(); // no event reports the end of its thread
    }
    assert!(matches!(host.stop(LIMIT).unwrap().services[0].outcome, Outcome::Stopped));
}
