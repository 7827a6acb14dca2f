//! Guarantee 73: a stop callback that blocks delays no other service and no deadline, and is named. Its panic is in the
//! result.

use crate::support::{LIMIT, hung, idle};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::{Cause, Context, Host, Outcome, Phase, Service, StopCallback, StopReason, StopSource, StopToken, worker};
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_secs(1);

/// Where a service stores a guard that must outlive its run.
type Shelf = Sender<StopCallback>;

/// A service that stops at once, with a stop callback whose guard outlives its run.
fn with_callback(shelf: &Shelf, callback: impl Fn() + Clone + Send + 'static) -> impl Service {
    let shelf = shelf.clone();
    worker(move |ctx| {
        shelf.send(ctx.on_stop(callback.clone()))?;
        ctx.wait();
        Ok(())
    })
}

/// A callback that blocks until the sender is dropped.
fn blocking() -> (impl Fn() + Clone + Send + 'static, Sender<()>) {
    let (release, held) = bounded::<()>(0);
    (move || _ = held.recv(), release)
}

/// Waits until the callback is registered.
fn registered(guards: &Receiver<StopCallback>) -> StopCallback {
    guards.recv_timeout(LIMIT).unwrap()
}

// 73
#[test]
fn a_callback_that_blocks_delays_no_service_and_no_deadline_and_is_named() {
    let (shelf, guards) = unbounded();
    let (callback, release) = blocking();
    let mut host = Host::new();
    host.add("first", idle());
    host.add("blocked", with_callback(&shelf, callback));
    host.add("last", idle());
    host.start().unwrap();
    let (guard, release) = (registered(&guards), release); // dropped in reverse, so that a failed test ends
    let began = Instant::now();
    let error = host.stop(SHORT).unwrap_err(); // returns, although nobody has released it
    assert!(began.elapsed() >= SHORT);
    assert_eq!(hung(error.report(), 1).phase, Phase::Callback);
    assert!(hung(error.report(), 1).thread.starts_with("blocked:on_stop"), "the thread's own name: {error}");
    assert!(!cfg!(target_os = "linux") || hung(error.report(), 1).thread.contains("(tid "), "{error}");
    let [failure] = error.failures() else { panic!("one failure: {error}") };
    assert_eq!((failure.service(), failure.phase()), ("blocked", Phase::Callback));
    assert!(matches!(failure.cause(), Cause::TimedOut(_)));
    for other in [&error.report().services[0], &error.report().services[2]] {
        assert!(matches!(other.outcome, Outcome::Stopped), "{error}");
    }
    drop(release);
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[1].outcome, Outcome::Stopped), "{report}");
    drop(guard);
}

// 73
#[test]
fn dependencies_stop_after_their_dependent_even_if_its_callback_blocks() {
    let (shelf, guards) = unbounded();
    let (callback, release) = blocking();
    let mut held = Some(release);
    let first = worker(move |ctx| {
        ctx.wait();
        drop(held.take()); // only now can the callback return
        Ok(())
    });
    let mut host = Host::new();
    host.add("first", first);
    host.add("blocked", with_callback(&shelf, callback));
    host.start().unwrap();
    let _guard = registered(&guards);
    let report = host.stop(Duration::MAX).unwrap(); // a hold without end
    assert!(report.services.iter().all(|service| !service.stop_timed_out), "{report}");
}

// 73
#[test]
fn a_callback_that_blocks_is_named_even_if_its_service_waits_for_it() {
    let (sender, ready) = bounded(1);
    let (begin, begun) = bounded::<()>(0);
    let (callback, release) = blocking();
    let run = move |ctx: &Context| {
        let (begin, callback) = (begin.clone(), callback.clone());
        let guard = ctx.on_stop(move || {
            _ = begin.send(());
            callback();
        });
        sender.send(())?;
        begun.recv()?;
        drop(guard); // waits until the callback has returned
        Ok(())
    };
    let mut host = Host::new();
    host.add("blocked", worker(run));
    host.start().unwrap();
    ready.recv_timeout(LIMIT).unwrap();
    let error = host.stop(SHORT).unwrap_err();
    assert_eq!(hung(error.report(), 0).phase, Phase::Callback, "{error}");
    drop(release);
    host.stop(LIMIT).unwrap();
}

// 73
#[test]
fn callbacks_run_after_the_flag_is_set_on_a_thread_with_the_services_name() {
    let (shelf, guards) = unbounded();
    let (sender, receiver) = bounded(2);
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        let (context, sender) = (ctx.clone(), sender.clone());
        let callback = move || {
            let name = std::fs::read_to_string("/proc/thread-self/comm").ok();
            _ = sender.send((context.stop_requested(), std::thread::current().id(), name));
        };
        shelf.send(ctx.on_stop(callback))?;
        ctx.wait();
        Ok(())
    };
    host.add("one", worker(run));
    host.start().unwrap();
    let _guard = registered(&guards);
    host.stop(LIMIT).unwrap();
    let (flagged, thread, name) = receiver.try_recv().unwrap(); // a successful stop has run the callbacks
    assert!(flagged && thread != std::thread::current().id());
    assert!(!cfg!(target_os = "linux") || name.as_deref() == Some("one:on_stop\n"), "{name:?}");
    assert!(receiver.try_recv().is_err(), "once");
}

// 73
#[test]
fn a_callback_that_panics_is_in_the_result_and_all_others_run() {
    let (shelf, guards) = unbounded();
    let (sender, receiver) = unbounded();
    let run = move |ctx: &Context| {
        let ends = sender.clone();
        shelf.send(ctx.on_stop(|| panic!("ouch")))?;
        shelf.send(ctx.on_stop(move || _ = ends.send(())))?;
        ctx.wait();
        Ok(())
    };
    let mut host = Host::new();
    host.add("first", idle());
    host.add("sore", worker(run));
    host.start().unwrap();
    let _guards = [registered(&guards), registered(&guards)];
    let error = host.stop(LIMIT).unwrap_err();
    let [failure] = error.failures() else { panic!("one failure: {error}") };
    assert_eq!((failure.service(), failure.phase()), ("sore", Phase::Callback));
    assert!(matches!(failure.cause(), Cause::Panicked(text) if text == "ouch"), "{error}");
    assert!(matches!(error.report().services[1].outcome, Outcome::Failed(_)), "{error}");
    assert!(matches!(error.report().services[0].outcome, Outcome::Stopped), "{error}");
    assert_eq!((receiver.try_iter().count(), error.report().services[1].errors), (1, 1));
}

// 73
#[test]
fn a_callback_of_stopping_that_blocks_delays_no_shutdown() {
    let (callback, release) = blocking();
    let (sender, receiver) = bounded(1);
    let mut host = Host::new();
    host.add("idle", idle());
    host.start().unwrap();
    let guard = host.handle().stopping().on_stop(move || {
        _ = sender.send(());
        callback();
    });
    let (_guard, release) = (guard, release); // dropped in reverse, so that a failed test ends
    host.stop(LIMIT).unwrap(); // returns, although nobody has released it
    receiver.recv_timeout(LIMIT).unwrap();
    drop(release);
}

// 73
#[test]
fn a_callback_of_stopping_runs_even_if_the_last_completion_stops_the_host() {
    let (sender, receiver) = bounded(1);
    let (end, ended) = bounded::<()>(0);
    let mut host = Host::new();
    host.add("one-shot", worker(move |_| Ok(_ = ended.recv())));
    let _guard = host.handle().stopping().on_stop(move || _ = sender.send(()));
    host.start().unwrap();
    drop(end);
    receiver.recv_timeout(LIMIT).unwrap();
    assert_eq!(host.wait(), StopReason::AllCompleted);
    host.stop(LIMIT).unwrap();
}

/// Returns `true` if a run until `stop` returns `Ok` while a callback of `stopping` blocks.
fn returns_from_run(stop: StopToken, service: impl Service) -> bool {
    let (callback, release) = blocking();
    let mut host = Host::new();
    host.add("idle", service);
    let guard = host.handle().stopping().on_stop(callback);
    let (sender, ended) = bounded(1);
    let running = std::thread::spawn(move || sender.send(host.run_until(&stop).is_ok()));
    let result = ended.recv_timeout(LIMIT);
    drop(release);
    running.join().unwrap().unwrap();
    drop(guard);
    result == Ok(true)
}

// 73
#[test]
fn a_callback_of_stopping_that_blocks_does_not_block_run() {
    let stop = StopSource::new();
    let token = stop.token();
    let service = worker(move |ctx| {
        let stop = stop.clone();
        std::thread::spawn(move || stop.request_stop()); // the callbacks run on that thread
        ctx.wait();
        Ok(())
    });
    assert!(returns_from_run(token, service));
}

// 73
#[test]
fn a_callback_of_stopping_that_blocks_does_not_block_a_run_stopped_before() {
    let stop = StopSource::new();
    stop.request_stop();
    assert!(returns_from_run(stop.token(), idle()));
}
