//! Guarantees 55 and 76: dropping a host stops it, in time and without a panic. A service is dropped on its own thread.

use crate::support::log::{Level, on_line};
use crate::support::{LIMIT, idle};
use crossbeam_channel::{Sender, bounded, unbounded};
use hosted::{Cause, Context, Host, HostState, Outcome, Phase, Result, Service, ServiceState, task, worker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(200);

/// Calls its function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

impl<F: FnMut() + Send + 'static> Service for OnDrop<F> {}

/// A service that panics when it is dropped.
fn sore() -> impl Service {
    OnDrop(|| panic!("a sore drop"))
}

/// A service that blocks in its drop until the sender is dropped.
fn sticky() -> (impl Service, Sender<()>) {
    let (release, held) = bounded::<()>(0);
    (OnDrop(move || _ = held.recv()), release)
}

/// Sends its name at its stop request, and returns `result`.
fn telling(name: &'static str, sender: &Sender<&'static str>, result: fn() -> Result) -> impl Service {
    let sender = sender.clone();
    worker(move |ctx| {
        ctx.wait();
        sender.send(name)?;
        result()
    })
}

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

// 55
#[test]
fn dropping_a_running_host_stops_it_in_reverse() {
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    for name in ["a", "b", "c"] {
        host.add(name, telling(name, &sender, || Ok(())));
    }
    drop(sender);
    host.start().unwrap();
    let handle = host.handle();
    drop(host);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["c", "b", "a"]);
    assert_eq!(handle.state(), HostState::Stopped);
    assert!(handle.services().iter().all(|service| service.state == ServiceState::Stopped));
}

// 55
#[test]
fn dropping_a_running_host_takes_no_longer_than_its_stop_timeout() {
    let (release, held) = bounded::<()>(0);
    let run = move |_: &Context| {
        _ = held.recv();
        Ok(())
    };
    let mut host = Host::new();
    host.stop_timeout(SHORT).add("stuck", worker(run));
    host.start().unwrap();
    let handle = host.handle();
    let began = Instant::now();
    drop(host); // returns, although nobody has released the unresponsive one
    assert!(began.elapsed() >= SHORT);
    assert_eq!((handle.state(), handle.services()[0].state), (HostState::Stopped, ServiceState::Hung));
    drop(release);
}

// 55
#[test]
fn dropping_a_host_never_panics_whatever_its_services_do() {
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    host.add("good", telling("good", &sender, || Ok(())));
    host.add("sore", sore());
    host.add("bad", telling("bad", &sender, || Err("no".into())));
    host.add("panics", telling("panics", &sender, || panic!("ouch")));
    host.start().unwrap();
    assert!(!panics(|| drop(host)));
    assert_eq!(receiver.try_iter().collect::<Vec<_>>(), ["panics", "bad", "good"]);
}

// 55
#[test]
fn a_host_dropped_by_a_panic_of_its_owner_is_stopped() {
    let (sender, receiver) = unbounded();
    let owner = move || {
        let mut host = Host::new();
        host.add("bad", telling("bad", &sender, || panic!("ouch")));
        host.start().unwrap();
        panic!("the owner's own");
    };
    assert!(panics(owner));
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["bad"]);
}

// 55
#[test]
fn dropping_a_host_never_panics_even_if_dropping_an_unstarted_service_does() {
    let mut never = Host::new();
    never.add("sore", sore());
    assert!(!panics(|| drop(never)), "a host that was never started");

    let mut failed = Host::new();
    failed.add("bad", task(|_| Err("no".into())));
    failed.add("sore", sore());
    assert!(failed.start().is_err());
    assert!(!panics(|| drop(failed)), "a host whose start failed");
}

// 55
#[test]
fn dropping_a_host_never_panics_even_if_the_logger_does() {
    on_line(|line| assert!(line.level > Level::Error || !line.text.contains("hazard"), "the logger's own"));
    let (sender, receiver) = unbounded();
    let mut host = Host::new();
    host.add("hazard", telling("hazard", &sender, || Err("no".into())));
    host.start().unwrap();
    assert!(!panics(|| drop(host)));
    assert_eq!(receiver.try_iter().count(), 1);
}

/// Reports on which thread it runs and on which thread it is dropped.
struct Homing(Sender<(&'static str, std::thread::ThreadId, Option<String>)>);

impl Homing {
    fn sender(&self, what: &'static str) {
        let thread = std::thread::current();
        self.0.send((what, thread.id(), thread.name().map(str::to_owned))).unwrap();
    }
}

impl Service for Homing {
    fn start(&mut self, ctx: &Context) -> Result {
        self.sender("start");
        if ctx.name() == "bad" { Err("no".into()) } else { Ok(()) }
    }
}

impl Drop for Homing {
    fn drop(&mut self) {
        self.sender("drop");
    }
}

// 76
#[test]
fn a_services_value_is_dropped_on_its_own_thread() {
    for name in ["good", "bad"] {
        let (sender, receiver) = unbounded();
        let mut host = Host::new();
        host.add(name, Homing(sender));
        if host.start().is_ok() {
            host.stop(LIMIT).unwrap();
        }
        let all: Vec<_> = receiver.try_iter().collect(); // a later report would be too late
        let [("start", begun, _), ("drop", ended, thread)] = &all[..] else { panic!("{name}: {all:?}") };
        assert_eq!((begun, thread.as_deref()), (ended, Some(name)));
    }
}

// 76
#[test]
fn the_values_of_a_closure_are_dropped_before_stop_returns() {
    let (sender, receiver) = bounded(1);
    let owned = OnDrop(move || sender.send(std::thread::current().name().map(str::to_owned)).unwrap());
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        let _ = &owned;
        ctx.wait();
        Ok(())
    };
    host.add("owner", worker(run));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(receiver.try_recv().unwrap().as_deref(), Some("owner"));
}

// 76
#[test]
fn a_drop_that_panics_is_reported() {
    let mut host = Host::new();
    host.add("first", idle());
    host.add("sore", sore());
    host.start().unwrap();
    let error = host.stop(LIMIT).unwrap_err();
    let [failure] = error.failures() else { panic!("one failure: {error}") };
    assert_eq!((failure.service(), failure.phase()), ("sore", Phase::Drop));
    assert!(matches!(failure.cause(), Cause::Panicked(text) if text == "a sore drop"), "{error}");
    assert!(matches!(error.report().services[1].outcome, Outcome::Failed(_)), "{error}");
    assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
}

// 76
#[test]
fn a_drop_that_hangs_is_reported_and_later_its_true_outcome() {
    let (service, release) = sticky();
    let mut host = Host::new();
    host.add("sticky", service);
    host.start().unwrap();
    let error = host.stop(SHORT).unwrap_err();
    let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("not hung: {error}") };
    assert_eq!((hung.phase, error.failures()[0].phase()), (Phase::Drop, Phase::Drop));
    drop(release);
    assert!(matches!(host.stop(LIMIT).unwrap().services[0].outcome, Outcome::Stopped));
}

// 76
#[test]
fn a_service_is_dropped_before_its_dependencies_receive_their_stop_request() {
    let (sender, receiver) = bounded(1);
    let (result, was_dropped) = bounded(1);
    let first = worker(move |ctx| {
        ctx.wait();
        result.send(receiver.try_recv().is_ok())?;
        Ok(())
    });
    let mut host = Host::new();
    host.add("first", first);
    host.add("second", OnDrop(move || sender.send(()).unwrap()));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(was_dropped.try_recv(), Ok(true));
}
