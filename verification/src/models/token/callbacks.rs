//! A callback runs exactly once, on the right thread, after all flags are set and all waiters are woken.

use super::*;
use crate::sync::caller;
use crossbeam_channel::TryRecvError;
use std::sync::Mutex;

#[test]
fn a_callback_runs_exactly_once_however_late_it_is_registered() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let registering = spawn(move || counted(&token));
        assert!(stop.request_stop());
        let (_guard, calls) = registering.join().unwrap();
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn two_callbacks_registered_during_the_stop_both_run_once() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let registering = spawn(move || counted(&token));
        let requester = request(&stop);
        let (_guard, calls) = counted(&stop.token());
        assert!(requester.join().unwrap());
        let (_other_guard, other_calls) = registering.join().unwrap();
        assert_eq!((calls.read(), other_calls.read()), (1, 1));
    });
}

#[test]
fn a_callback_runs_on_the_requesting_or_on_the_late_registering_thread() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let registering = spawn(move || {
            let ran_on = Arc::new(Mutex::new(None));
            let here = ran_on.clone();
            let guard = token.on_stop(move || *here.lock().unwrap() = Some(caller()));
            let at_once = *ran_on.lock().unwrap() == Some(caller());
            (guard, ran_on, at_once)
        });
        assert!(stop.request_stop());
        let (_guard, ran_on, at_once) = registering.join().unwrap();
        assert!(at_once || *ran_on.lock().unwrap() == Some(caller()));
    });
}

#[test]
fn when_request_stop_returns_the_callbacks_registered_before_have_run() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token()]);
        let (_guard, calls) = counted(&stop.token());
        let (_childs_guard, childs_calls) = counted(&child.token());
        let token = stop.token();
        let registering = spawn(move || counted(&token));
        assert!(stop.request_stop());
        assert_eq!((calls.read(), childs_calls.read()), (1, 1));
        drop(registering.join().unwrap());
    });
}

#[test]
fn a_callback_registered_late_sees_what_came_before_the_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let (token, seen) = (stop.token(), before.clone());
        let registering = spawn(move || {
            let flag = token.clone();
            token.on_stop(move || {
                // Read this first: a check of the flag would itself order the accesses.
                expect(seen.read() == 1, "a callback sees what came before the stop");
                expect(flag.stop_requested(), "the flag is set before a callback runs");
            })
        });
        before.add_one();
        assert!(stop.request_stop());
        drop(registering.join().unwrap());
    });
}

#[test]
fn the_callback_of_a_child_born_while_it_stops_sees_what_came_before_the_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let (token, seen) = (stop.token(), before.clone());
        let linking = spawn(move || {
            let child = StopSource::linked([&token]);
            child.token().on_stop(move || expect(seen.read() == 1, "a callback sees what came before the stop"))
        });
        before.add_one();
        assert!(stop.request_stop());
        drop(linking.join().unwrap());
    });
}

/// The callback waits for the waiters. If they were woken only after it, the model would deadlock.
#[test]
fn every_waiter_is_woken_before_the_first_callback_runs() {
    explore(|| {
        let stop = StopSource::new();
        let (child, sibling) = (StopSource::linked([&stop.token()]), StopSource::linked([&stop.token()]));
        let waiters = [stop.token(), sibling.token()].map(|token| spawn(move || token.wait()));
        let flagged = [stop.token(), child.token(), sibling.token()];
        let guard = child.token().on_stop(move || {
            expect(flagged.iter().all(StopToken::stop_requested), "every flag is set before the first callback");
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        });
        assert!(stop.request_stop());
        drop(guard);
    });
}

#[test]
fn the_waiter_of_a_child_is_woken_before_the_parents_callback_runs() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token()]);
        let token = child.token();
        let waiter = spawn(move || token.wait());
        let guard = stop.token().on_stop(move || waiter.join().unwrap());
        assert!(stop.request_stop());
        drop((guard, child));
    });
}

#[test]
fn done_is_disconnected_before_the_first_callback_runs() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token()]);
        let receivers = [stop.token(), child.token()].map(|token| token.done().clone());
        let guard = stop.token().on_stop(move || {
            let disconnected = receivers.iter().all(|done| done.try_recv() == Err(TryRecvError::Disconnected));
            expect(disconnected, "done is disconnected before the first callback");
        });
        let requester = request(&stop);
        assert!(stop.request_stop() != requester.join().unwrap());
        drop(guard);
    });
}

#[test]
fn a_callback_that_panics_prevents_no_other() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token()]);
        let _panicking = stop.token().on_stop(panic);
        let (_guard, calls) = counted(&stop.token());
        let (_childs_guard, childs_calls) = counted(&child.token());
        let token = stop.token();
        let registering = spawn(move || token.on_stop(panic));
        assert!(stop.request_stop());
        assert_eq!((calls.read(), childs_calls.read()), (1, 1));
        drop(registering.join().unwrap());
    });
}

#[test]
fn a_panicking_callback_counts_as_returned_for_the_drop_of_its_guard() {
    explore(|| {
        let stop = StopSource::new();
        let guard = stop.token().on_stop(panic);
        let requester = request(&stop);
        drop(guard);
        assert!(requester.join().unwrap());
    });
}

/// Panics without the panic hook, which would print a message in every execution.
fn panic() {
    std::panic::resume_unwind(Box::new("on purpose"));
}

#[test]
fn a_callback_registered_by_a_callback_runs_at_once() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let guard = stop.token().on_stop(move || {
            let (guard, calls) = counted(&token);
            expect(calls.read() == 1, "after the stop a callback runs at once");
            drop(guard);
        });
        let requester = request(&stop);
        let (_guard, calls) = counted(&stop.token());
        assert!(requester.join().unwrap());
        assert_eq!(calls.read(), 1);
        drop(guard);
    });
}
