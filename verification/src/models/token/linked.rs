//! Children see the stop of their parents, each once, and a parent keeps nothing of them.

use super::*;

#[test]
fn a_child_created_during_the_stop_is_stopped() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let linking = spawn(move || {
            let child = StopSource::linked([&token]);
            let (guard, calls) = counted(&child.token());
            (child, guard, calls)
        });
        assert!(stop.request_stop());
        let (child, _guard, calls) = linking.join().unwrap();
        assert!(child.stop_requested());
        assert!(!child.request_stop());
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_waiter_for_a_child_made_during_the_stop_is_woken() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let waiter = spawn(move || StopSource::linked([&token]).token().wait());
        assert!(stop.request_stop());
        waiter.join().unwrap();
    });
}

#[test]
fn a_parent_keeps_nothing_of_a_child_that_is_gone() {
    explore(|| {
        let stop = StopSource::new();
        let token = stop.token();
        let other = spawn(move || drop(StopSource::linked([&token])));
        drop(StopSource::linked([&stop.token()]));
        other.join().unwrap();
        assert!(keeps_no_child(&stop));
    });
}

#[test]
fn a_child_dropped_during_the_stop_leaves_nothing_and_prevents_no_stop() {
    explore(|| {
        let stop = StopSource::new();
        let (going, staying) = (StopSource::linked([&stop.token()]), StopSource::linked([&stop.token()]));
        let requester = request(&stop);
        drop(going);
        assert!(requester.join().unwrap());
        assert!(staying.stop_requested());
        assert!(keeps_no_child(&stop));
    });
}

#[test]
fn a_child_of_two_parents_that_stop_is_stopped_once() {
    explore(|| {
        let (one, other) = (StopSource::new(), StopSource::new());
        let child = StopSource::linked([&one.token(), &other.token()]);
        let (_guard, calls) = counted(&child.token());
        let requester = request(&one);
        assert!(other.request_stop());
        assert!(child.stop_requested());
        assert!(requester.join().unwrap());
        assert!(!child.request_stop());
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_child_made_while_both_its_parents_stop_is_stopped() {
    explore_within(3, || {
        let (one, other) = (StopSource::new(), StopSource::new());
        let requester = request(&one);
        let tokens = [one.token(), other.token()];
        let linking = spawn(move || {
            let child = StopSource::linked(&tokens);
            let (guard, calls) = counted(&child.token());
            (child, guard, calls)
        });
        assert!(other.request_stop());
        assert!(requester.join().unwrap());
        let (child, _guard, calls) = linking.join().unwrap();
        assert!(child.stop_requested());
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_callback_runs_once_if_child_and_parent_are_stopped_at_once() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token()]);
        let (_guard, calls) = counted(&child.token());
        let requester = request(&stop);
        _ = child.request_stop();
        assert!(child.stop_requested());
        assert!(requester.join().unwrap());
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_grandchild_is_stopped_while_the_source_between_is_dropped() {
    explore(|| {
        let stop = StopSource::new();
        let middle = StopSource::linked([&stop.token()]);
        let grandchild = StopSource::linked([&middle.token()]);
        let (_guard, calls) = counted(&grandchild.token());
        let requester = request(&stop);
        drop(middle);
        assert!(requester.join().unwrap());
        assert!(grandchild.stop_requested());
        assert_eq!(calls.read(), 1);
    });
}

#[test]
fn a_grandchild_and_its_parent_dropped_during_the_stop_leave_nothing() {
    explore(|| {
        let stop = StopSource::new();
        let middle = StopSource::linked([&stop.token()]);
        let grandchild = StopSource::linked([&middle.token()]);
        let requester = request(&stop);
        drop(middle);
        drop(grandchild);
        assert!(requester.join().unwrap());
        assert!(keeps_no_child(&stop));
    });
}

#[test]
fn a_child_of_the_same_parent_twice_is_stopped_once() {
    explore(|| {
        let stop = StopSource::new();
        let child = StopSource::linked([&stop.token(), &stop.token()]);
        let (_guard, calls) = counted(&child.token());
        let requester = request(&stop);
        assert!(stop.request_stop() != requester.join().unwrap());
        assert_eq!(calls.read(), 1);
    });
}

/// The last owner of a child reads where its parents keep it. The reference count orders this read, but the count is
/// the standard library's, and loom does not know it: loom would allow a stale read.
#[cfg(feature = "shuttle")]
#[test]
fn a_parent_keeps_nothing_of_a_child_that_another_parents_stop_drops_last() {
    explore(|| {
        let (one, other) = (StopSource::new(), StopSource::new());
        let child = StopSource::linked([&one.token(), &other.token()]);
        let requester = request(&one);
        drop(child);
        assert!(requester.join().unwrap());
        assert!(keeps_no_child(&one) && keeps_no_child(&other));
    });
}

fn keeps_no_child(stop: &StopSource) -> bool {
    let token = stop.token();
    token.node().unwrap().listeners().registrations.lock().children.is_empty()
}
