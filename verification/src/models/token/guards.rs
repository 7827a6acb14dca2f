//! After a guard is dropped, its callback has run or never will.

use super::*;
use std::sync::Mutex;

#[test]
fn when_a_guard_is_dropped_its_callback_has_run_or_never_will() {
    explore(|| {
        let stop = StopSource::new();
        let (guard, calls, gone) = used(&stop.token());
        let requester = request(&stop);
        drop_and_count(guard, &calls, &gone);
        requester.join().unwrap();
    });
}

#[test]
fn two_callbacks_registered_before_have_run_when_request_stop_returns() {
    explore_within(4, || {
        let stop = StopSource::new();
        let (guard, calls, gone) = used(&stop.token());
        let (other_guard, other_calls, other_gone) = used(&stop.token());
        let requester = request(&stop);
        let dropping = spawn(move || drop_and_count(other_guard, &other_calls, &other_gone));
        drop_and_count(guard, &calls, &gone);
        requester.join().unwrap();
        dropping.join().unwrap();
    });
}

#[test]
fn a_callback_of_a_child_has_run_when_request_stop_returns() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token()]);
        let (guard, calls, gone) = used(&child.token());
        let requester = request(&stop);
        drop_and_count(guard, &calls, &gone);
        requester.join().unwrap();
    });
}

#[test]
fn a_thread_that_saw_the_stop_before_sees_the_same() {
    explore(|| {
        let stop = StopSource::new();
        let (guard, calls, gone) = used(&stop.token());
        let requester = request(&stop);
        stop.token().wait();
        drop_and_count(guard, &calls, &gone);
        requester.join().unwrap();
    });
}

#[test]
fn unregister_returns_whether_the_callback_ever_runs() {
    explore(|| {
        let stop = StopSource::new();
        let (guard, calls) = counted(&stop.token());
        let requester = request(&stop);
        let never_runs = guard.unregister();
        requester.join().unwrap();
        assert_eq!(calls.read(), usize::from(!never_runs));
    });
}

#[test]
fn unregistering_a_callback_leaves_the_other_to_run() {
    explore_within(4, || {
        let stop = StopSource::new();
        let (guard, calls) = counted(&stop.token());
        let (_other_guard, other_calls) = counted(&stop.token());
        let requester = request(&stop);
        let token = stop.token();
        let registering = spawn(move || counted(&token));
        let never_runs = guard.unregister();
        assert!(requester.join().unwrap());
        let (_late_guard, late_calls) = registering.join().unwrap();
        assert_eq!(calls.read(), usize::from(!never_runs));
        assert_eq!((other_calls.read(), late_calls.read()), (1, 1));
    });
}

/// The callback waits for a stop that comes after `unregister`. If `unregister` waited, the model would deadlock.
#[test]
fn unregister_never_waits_for_a_callback_that_is_running() {
    explore(|| {
        let (stop, unregistered) = (StopSource::new(), StopSource::new());
        let token = unregistered.token();
        let guard = stop.token().on_stop(move || token.wait());
        let requester = request(&stop);
        _ = guard.unregister();
        unregistered.request_stop();
        requester.join().unwrap();
    });
}

#[test]
fn dropping_a_guard_waits_only_for_its_own_callback() {
    explore(|| {
        let (stop, dropped) = (StopSource::new(), StopSource::new());
        let token = dropped.token();
        // One callback has run by then, and one has not.
        let (before, _) = counted(&stop.token());
        let running = stop.token().on_stop(move || token.wait());
        let (after, _) = counted(&stop.token());
        let requester = request(&stop);
        drop((before, after));
        dropped.request_stop();
        requester.join().unwrap();
        drop(running);
    });
}

#[test]
fn a_callback_may_drop_its_own_guard() {
    explore(|| {
        let (stop, calls) = (StopSource::new(), Memory::new());
        let kept: Arc<Mutex<Option<StopCallback>>> = Arc::default();
        let (own, count) = (kept.clone(), calls.clone());
        let token = stop.token();
        let requester = request(&stop);
        let guard = token.on_stop(move || {
            drop(take(&own));
            count.add_one();
        });
        *kept.lock().unwrap() = Some(guard);
        requester.join().unwrap();
        drop(take(&kept));
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_callback_may_drop_the_guard_of_another_which_then_never_runs() {
    explore(|| {
        let stop = StopSource::new();
        let kept: Arc<Mutex<Option<StopCallback>>> = Arc::default();
        let others = kept.clone();
        let (second, second_calls, second_gone) = used(&stop.token());
        *kept.lock().unwrap() = Some(second);
        let first = stop.token().on_stop(move || {
            if let Some(guard) = take(&others) {
                drop_and_count(guard, &second_calls, &second_gone);
            }
        });
        let requester = request(&stop);
        drop(take(&kept));
        requester.join().unwrap();
        drop(first);
    });
}

/// A captured value checks the token while it is dropped. If the lock of the list were held, the model would deadlock.
#[test]
fn captures_of_an_unregistered_closure_are_dropped_without_a_lock() {
    struct Registers(StopToken);
    impl Drop for Registers {
        fn drop(&mut self) {
            let (guard, _) = counted(&self.0);
            drop(guard);
        }
    }
    explore(|| {
        let stop = StopSource::new();
        let captured = Registers(stop.token());
        let guard = stop.token().on_stop(move || drop(captured));
        let requester = request(&stop);
        drop(guard);
        requester.join().unwrap();
    });
}

/// A guard, and its callback, which must not run once `gone` is written.
fn used(token: &StopToken) -> (StopCallback, Memory, Memory) {
    let (calls, gone) = (Memory::new(), Memory::new());
    let (count, seen) = (calls.clone(), gone.clone());
    let guard = token.on_stop(move || {
        count.add_one();
        expect(seen.read() == 0, "a callback does not run after its guard is dropped");
    });
    (guard, calls, gone)
}

fn drop_and_count(guard: StopCallback, calls: &Memory, gone: &Memory) {
    drop(guard);
    let now = calls.read();
    gone.add_one();
    // A read-modify-write sees the last write, whatever the synchronization.
    let truly = calls.0.fetch_add(0, Ordering::Relaxed);
    expect(now == truly, "the thread that dropped a guard sees what the callback did");
}

fn take(kept: &Mutex<Option<StopCallback>>) -> Option<StopCallback> {
    kept.lock().unwrap().take()
}
