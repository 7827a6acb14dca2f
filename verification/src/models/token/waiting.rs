//! No wake-up is lost, and a thread that sees the stop sees everything that came before it.

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
        let observer = check(stop.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        observer.join().unwrap();
        assert!(stop.stop_requested());
    });
}

#[test]
fn a_check_of_a_token_with_listeners_sees_all_writes_before_the_stop() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        _ = stop.token().done();
        let observer = check(stop.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        observer.join().unwrap();
    });
}

#[test]
fn a_check_of_a_child_sees_all_writes_before_the_stop_of_its_parent() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let child = StopSource::linked([&stop.token()]);
        let observer = check(child.token(), &before);
        before.add_one();
        assert!(stop.request_stop());
        assert!(child.stop_requested());
        observer.join().unwrap();
    });
}

#[test]
fn every_receiver_of_done_disconnects() {
    explore(|| {
        let stop = StopSource::new();
        let (one, other) = (stop.token(), stop.token());
        let waiter = spawn(move || _ = one.done());
        let requester = request(&stop);
        _ = other.done();
        requester.join().unwrap();
        waiter.join().unwrap();
        assert_eq!(other.done().try_recv(), Err(TryRecvError::Disconnected));
    });
}

#[test]
fn done_during_a_stop_returns_a_receiver_that_disconnects() {
    explore(|| {
        let (stop, before) = (StopSource::new(), Memory::new());
        let (token, seen) = (stop.token(), before.clone());
        let waiter = spawn(move || {
            if token.done().try_recv() == Err(TryRecvError::Disconnected) {
                assert_eq!(seen.read(), 1);
                assert!(token.stop_requested());
            }
            token
        });
        before.add_one();
        assert!(stop.request_stop());
        assert_eq!(waiter.join().unwrap().done().try_recv(), Err(TryRecvError::Disconnected));
    });
}

/// Registrations beside a waiter must not be lost either: each list has its own lock.
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
        // Read this first: a check of the flag would itself order the accesses.
        assert_eq!(before.read(), 1);
        assert!(token.stop_requested());
    })
}

fn check(token: StopToken, before: &Memory) -> thread::JoinHandle<()> {
    let before = before.clone();
    spawn(move || {
        if token.stop_requested() {
            assert_eq!(before.read(), 1);
        }
    })
}
