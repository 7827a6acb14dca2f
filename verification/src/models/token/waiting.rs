//! No wake-up is lost, and who sees the stop sees what came before it.

use super::*;
use crossbeam_channel::TryRecvError;

#[test]
fn a_waiter_is_woken_and_sees_what_came_before_the_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let waiter = wait(stop.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        waiter.join().unwrap();
    });
}

#[test]
fn two_waiters_are_woken() {
    explore_within(4, || {
        let (stop, before) = (StopSource::new(), Memory::new());
        let waiters = [wait(stop.token(), &before), wait(stop.token(), &before)];
        before.add_one();
        assert!(stop.request_stop());
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

#[test]
fn a_waiter_of_a_child_is_woken_by_the_parents_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let child = StopSource::linked([&stop.token()]);
        let waiter = wait(child.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        waiter.join().unwrap();
    });
}

#[test]
fn a_check_that_sees_the_stop_sees_all_writes_before_it() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let looker = look(stop.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        looker.join().unwrap();
        assert!(stop.stop_requested());
    });
}

#[test]
fn a_check_of_a_token_with_listeners_sees_all_writes_before_the_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        _ = stop.token().done();
        let looker = look(stop.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        looker.join().unwrap();
    });
}

#[test]
fn a_check_of_a_child_sees_all_writes_before_the_stop_of_its_parent() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let child = StopSource::linked([&stop.token()]);
        let looker = look(child.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        assert!(child.stop_requested());
        looker.join().unwrap();
    });
}

#[test]
fn the_receiver_of_done_disconnects_however_many_ask_for_it() {
    explore(|| {
        let stop = StopSource::new();
        let (one, other) = (stop.token(), stop.token());
        let asking = spawn(move || _ = one.done());
        let requester = request(&stop);
        _ = other.done();
        requester.join().unwrap();
        asking.join().unwrap();
        assert_eq!(other.done().try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn done_during_a_stop_returns_a_receiver_that_disconnects() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let (token, seen) = (stop.token(), before.clone());
        let asking = spawn(move || {
            if token.done().try_recv() == Err(TryRecvError::Disconnected) {
                assert_eq!(seen.read(), 1);
                assert!(token.stop_requested());
            }
            token
        });
        before.add_one();
        assert!(stop.request_stop());
        assert_eq!(asking.join().unwrap().done().try_recv(), Err(TryRecvError::Disconnected));
    });
}

/// What else must not be lost beside a waiter: each list has a lock of its own.
#[test]
fn a_waiter_and_a_callback_both_receive_the_stop() {
    explore_within(3, || {
        let (stop, before) = (StopSource::new(), Memory::new());
        let token = stop.token();
        let registering = spawn(move || counted(&token));
        let waiter = wait(stop.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        waiter.join().unwrap();
        let (_guard, calls) = registering.join().unwrap();
        assert_eq!(calls.read(), 1);
    });
}

fn wait(token: StopToken, before: &Memory) -> thread::JoinHandle<()> {
    let before = before.clone();
    spawn(move || {
        token.wait();
        // First: a look at the flag would itself order this.
        assert_eq!(before.read(), 1);
        assert!(token.stop_requested());
    })
}

fn look(token: StopToken, before: &Memory) -> thread::JoinHandle<()> {
    let before = before.clone();
    spawn(move || {
        if token.stop_requested() {
            assert_eq!(before.read(), 1);
        }
    })
}
