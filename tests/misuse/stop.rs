//! Tokens, sources and guards that are unused, forgotten, or requested very often.

use crate::support::in_time;
use crossbeam_channel::{TryRecvError, unbounded};
use hosted::{StopSource, StopToken, ctrl_c};

#[test]
fn a_source_linked_to_nothing_or_to_never_stops_only_on_its_own() {
    let none: [StopToken; 0] = [];
    for source in [StopSource::linked(&none), StopSource::linked([&StopToken::never(), &StopToken::never()])] {
        assert!(!source.stop_requested());
        assert!(source.request_stop() && source.token().stop_requested());
    }
}

#[test]
fn a_source_linked_to_its_own_child_stops_only_with_its_parents() {
    let root = StopSource::new();
    let child = StopSource::linked([&root.token()]);
    let both = StopSource::linked([&child.token(), &root.token(), &child.token()]);
    assert!(both.request_stop() && !child.stop_requested() && !root.stop_requested());
    let again = StopSource::linked([&child.token(), &root.token()]);
    root.request_stop();
    assert!(child.stop_requested() && again.stop_requested());
}

#[test]
fn the_callback_of_a_forgotten_guard_is_called_once() {
    let ((sender, receiver), stop) = (unbounded(), StopSource::new());
    std::mem::forget(stop.token().on_stop(move || sender.send(()).unwrap()));
    assert!(stop.request_stop() && !stop.request_stop());
    assert_eq!(receiver.try_iter().count(), 1);
}

#[test]
fn a_callback_on_never_is_dropped_at_once_and_never_called() {
    let (sender, receiver) = unbounded::<()>();
    let guard = StopToken::never().on_stop(move || sender.send(()).unwrap());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Disconnected), "the captured value is dropped");
    assert!(guard.unregister());
}

#[test]
fn ctrl_c_may_be_called_ten_thousand_times() {
    in_time(|| {
        let kept: Vec<StopToken> = (0..10_000).map(|_| ctrl_c().unwrap()).step_by(1_000).collect();
        assert_eq!(kept.len(), 10);
        assert!(kept.iter().all(|token| !token.stop_requested()));
    });
}
