//! Guarantees 49, 52 and 55: a stop takes no longer than its timeout, wherever the timeout comes from.

use crate::support::{LIMIT, unresponsive};
use crossbeam_channel::{Sender, bounded};
use hosted::{Context, Host, HostError, Outcome, Result, Service, StopToken, task, worker};
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_millis(500);
const HOUR: Duration = Duration::from_secs(3600);

fn is_hung(error: &HostError, place: usize) -> bool {
    matches!(error.report().services[place].outcome, Outcome::Hung(_))
}

// 52
#[test]
fn a_service_past_its_own_stop_timeout_is_awaited_until_the_deadline() {
    let ((first, lets_go_first), (last, lets_go_last)) = (unresponsive(), unresponsive());
    let mut host = Host::new();
    host.add("first", first).stop_timeout(Duration::ZERO);
    host.add("last", last).stop_timeout(Duration::ZERO);
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(TIMEOUT).unwrap_err();
    assert!(began.elapsed() >= TIMEOUT, "{error}");
    assert!((0..2).all(|place| is_hung(&error, place)), "{error}");
    drop((lets_go_first, lets_go_last));
    host.stop(LIMIT).unwrap();
}

/// Returns how long a stop with a hung service takes.
fn stop_in_vain() -> Duration {
    let (service, release) = unresponsive();
    let mut host = Host::new();
    host.add("stuck", service);
    host.start().unwrap();
    let began = Instant::now();
    let error = host.stop(TIMEOUT).unwrap_err();
    let took = began.elapsed();
    assert!(is_hung(&error, 0), "{error}");
    drop(release);
    host.stop(LIMIT).unwrap();
    took
}

// 49
#[test]
fn a_stop_returns_within_its_timeout_plus_250_ms() {
    // Try more than once: a busy machine may add any delay, but not each time.
    assert!((0..20).any(|_| stop_in_vain() < TIMEOUT * 3 / 2));
}

/// Sends the time until its stop deadline, at its stop request.
struct ReportsDeadline(Sender<Duration>);

impl Service for ReportsDeadline {
    fn stop(&mut self, ctx: &Context) -> Result {
        let by = ctx.stop_deadline().ok_or("a stop has a deadline")?;
        Ok(self.0.send(by.saturating_duration_since(Instant::now()))?)
    }
}

/// A way in which a host ends, and its name.
type Way = (&'static str, fn(Host));

// 21, 55
#[test]
fn a_drop_a_run_and_a_failed_start_give_services_the_stop_timeout_of_the_host() {
    let ways: [Way; 3] = [
        ("drop", |mut host| host.start().unwrap()),
        ("run", |mut host| {
            host.add("requester", worker(|ctx| Ok(ctx.wait_until_started().map(|()| ctx.host().request_stop())?)));
            host.run_until(&StopToken::never()).unwrap();
        }),
        ("failed start", |mut host| {
            host.add("fails", task(|_| Err("no".into())));
            host.start().unwrap_err();
        }),
    ];
    for (name, way) in ways {
        let (sender, receiver) = bounded(1);
        let mut host = Host::new();
        host.stop_timeout(HOUR).add("reporter", ReportsDeadline(sender));
        way(host);
        let given = receiver.try_recv().unwrap();
        assert!(given > HOUR / 2 && given < HOUR, "{name}: {given:?}");
    }
}
