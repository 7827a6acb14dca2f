//! Sources and tokens: which source stops which, and what a stop reports.

use crate::support::{LIMIT, asleep_in, in_time, on_a_small_stack, race, times};
use hosted::{RecvError, StopCallback, StopSource, StopToken, Stopped};
use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use std::{io, thread};

/// The last source of a chain of `length` sources, linked to `first`.
fn chain(first: &StopSource, length: usize) -> StopSource {
    (0..length).fold(first.clone(), |last, _| StopSource::linked([&last.token()]))
}

// 1
#[test]
fn a_new_source_is_not_stopped_and_a_stop_is_forever() {
    for source in [StopSource::new(), StopSource::default(), StopSource::linked([])] {
        let (token, clone) = (source.token(), source.clone());
        assert!(!source.stop_requested() && !clone.stop_requested() && !token.stop_requested());
        assert_eq!(token.check(), Ok(()));

        assert!(clone.request_stop(), "the first request returns `true`");
        for _ in 0..3 {
            assert!(!source.request_stop() && !clone.request_stop(), "later requests return `false`");
            assert!(source.stop_requested() && clone.stop_requested() && token.stop_requested());
            assert_eq!(token.check(), Err(Stopped));
            assert!(source.token().stop_requested(), "a token created after the stop");
        }
        drop((source, clone));
        assert!(token.clone().stop_requested(), "the stop is forever, even without a source");
    }
}

// 2
#[test]
fn exactly_one_of_many_concurrent_requests_returns_true() {
    const REQUESTERS: usize = 4;
    in_time(|| {
        for round in 0..times(1_000) {
            // Linked or not, with or without the marks of waiters: each case takes another path through the request.
            let parent = StopSource::new();
            let source = if round % 2 == 0 { StopSource::new() } else { StopSource::linked([&parent.token()]) };
            let runs = Arc::new(AtomicUsize::new(0));
            let guards: Vec<_> = (0..round % 3)
                .map(|_| (runs.clone(), source.token()))
                .map(|(runs, token)| token.on_stop(move || _ = runs.fetch_add(1, Ordering::SeqCst)))
                .collect();
            let start = Barrier::new(REQUESTERS);
            let request = || {
                start.wait();
                source.request_stop()
            };
            let made: usize = thread::scope(|scope| {
                let requesters: Vec<_> = (0..REQUESTERS).map(|_| scope.spawn(request)).collect();
                requesters.into_iter().map(|requester| usize::from(requester.join().unwrap())).sum()
            });
            assert_eq!(made, 1, "requests that returned `true`, in round {round}");
            assert_eq!(runs.load(Ordering::SeqCst), guards.len(), "callbacks that ran, in round {round}");
        }
    });
}

// 10
#[test]
fn any_parent_stops_a_linked_source_and_it_never_stops_a_parent() {
    for stopped in 0..3 {
        let parents = [StopSource::new(), StopSource::new(), StopSource::new()];
        let tokens: Vec<_> = parents.iter().map(StopSource::token).collect();
        let linked = StopSource::linked(&tokens);
        let grandchild = StopSource::linked([&linked.token()]);
        assert!(!linked.stop_requested());

        assert!(parents[stopped].request_stop());
        assert!(linked.stop_requested() && linked.token().stop_requested() && grandchild.stop_requested());
        assert!(!linked.request_stop(), "after the request of the parent");
        let seen: Vec<_> = tokens.iter().map(StopToken::stop_requested).collect();
        let only: Vec<_> = (0..3).map(|parent| parent == stopped).collect();
        assert_eq!(seen, only, "the stop of a parent reaches only its children");
    }

    let parents = [StopSource::new(), StopSource::new()];
    let sibling = StopSource::linked([&parents[0].token()]);
    let linked = StopSource::linked([&parents[0].token(), &parents[1].token()]);
    assert!(linked.request_stop());
    assert!(!parents[0].stop_requested() && !parents[1].stop_requested() && !sibling.stop_requested());
    assert!(parents[0].request_stop(), "the parents are not stopped");
    assert!(parents[1].request_stop());
    assert!(sibling.stop_requested());
}

#[test]
fn the_same_parent_twice_a_grandparent_and_never_are_valid_parents() {
    let root = StopSource::new();
    let middle = StopSource::linked([&root.token()]);
    let tokens = [root.token(), middle.token(), root.token(), StopToken::never()];
    let linked = StopSource::linked(&tokens);
    drop(StopSource::linked(&tokens));
    assert!(!linked.stop_requested());
    assert!(root.request_stop());
    assert!(linked.stop_requested());

    let alone = StopSource::linked([&StopToken::never(), &StopToken::never()]);
    assert!(!alone.stop_requested());
    assert!(alone.request_stop());
}

// 10
#[test]
fn a_source_linked_to_a_stopped_parent_is_born_stopped() {
    let (stopped, running) = (StopSource::new(), StopSource::new());
    stopped.request_stop();
    let orders: [&[&StopSource]; 4] =
        [&[&stopped], &[&stopped, &running], &[&running, &stopped], &[&stopped, &stopped]];
    for parents in orders {
        let tokens: Vec<_> = parents.iter().map(|parent| parent.token()).collect();
        let linked = StopSource::linked(&tokens);
        assert!(linked.stop_requested());
        assert!(!linked.request_stop(), "it was created stopped");
        assert!(StopSource::linked([&linked.token()]).stop_requested(), "its children are created stopped too");
    }
    assert!(!running.stop_requested());
}

// 10
#[test]
fn a_stop_reaches_a_linked_source_even_if_the_source_between_was_dropped() {
    let root = StopSource::new();
    let leaf = chain(&root, 5); // the four between have no source and no token
    let root_token = root.token();
    let orphan = StopSource::linked([&root_token]);
    drop(root_token);
    let token = leaf.token();
    let waiter = asleep_in(move || token.wait_timeout(LIMIT));
    assert!(!leaf.stop_requested());
    assert!(root.request_stop());
    assert!(leaf.stop_requested() && orphan.stop_requested());
    assert!(waiter.result(), "the waiter is woken");
}

// 10
#[test]
fn a_dropped_parent_stops_nobody() {
    let (parent, other) = (StopSource::new(), StopSource::new());
    let (token, linked) = (parent.token(), StopSource::linked([&parent.token(), &other.token()]));
    let done = token.done();
    drop(parent.clone());
    drop(parent);
    assert!(!token.stop_requested() && !linked.stop_requested());
    assert_eq!(done.try_recv(), Err(crossbeam_channel::TryRecvError::Empty));
    drop(token);
    assert!(!linked.stop_requested());
    assert!(!linked.token().wait_timeout(Duration::from_millis(1)));
    assert!(other.request_stop());
    assert!(linked.stop_requested(), "the other parent still stops it");
}

// 10
#[test]
fn a_source_linked_while_its_parent_stops_is_stopped_in_10_000_races() {
    type Round = ([StopSource; 2], Mutex<Option<StopSource>>);
    let fresh = || ([StopSource::new(), StopSource::new()], Mutex::new(None));
    let stop = |(parents, _): &Round| assert!(parents[0].request_stop());
    let link = |(parents, linked): &Round| {
        let tokens = [parents[1].token(), parents[0].token()];
        let source = StopSource::linked(&tokens);
        drop(StopSource::linked(&tokens)); // another child is dropped at the same time
        *linked.lock().unwrap() = Some(StopSource::linked([&source.token()]));
    };
    let check = |(_, linked): &Round| assert!(linked.lock().unwrap().as_ref().unwrap().stop_requested());
    in_time(move || race(fresh, stop, link, check));
}

// 11
#[test]
fn a_chain_of_a_million_is_stopped_and_dropped_without_recursion() {
    // Recursion, at 16 bytes a step, would need a hundred times this stack.
    on_a_small_stack(|| {
        let root = StopSource::new();
        let leaf = chain(&root, times(1_000_000));
        assert!(root.request_stop());
        assert!(leaf.stop_requested());
        drop(root);
        drop(leaf); // drops a million sources
    });
    on_a_small_stack(|| {
        let never_stopped = chain(&StopSource::new(), times(1_000_000));
        assert!(!never_stopped.stop_requested());
        drop(never_stopped);
    });
}

#[test]
fn stopped_is_found_at_the_end_of_the_source_chain_even_in_io_error() {
    fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<String> {
        std::iter::successors(Some(error), |&error: &&'a (dyn Error + 'static)| error.source())
            .map(ToString::to_string)
            .collect()
    }
    let marker = "a stop was requested";
    assert_eq!(chain(&Stopped), ["stop requested", marker]);
    assert_eq!(chain(&RecvError::Stopped), ["stop requested while waiting for a message", marker]);
    assert_eq!(chain(&RecvError::from(Stopped)), chain(&RecvError::Stopped));
    // `io::Error` returns as its source only the source of the error that it contains.
    assert_eq!(chain(&io::Error::other(Stopped)), ["stop requested", marker]);
    assert_eq!(chain(&io::Error::other(RecvError::Stopped)).last().unwrap(), marker);
    assert_eq!(chain(&io::Error::other(io::Error::other(Stopped))).last().unwrap(), marker);

    assert_eq!(chain(&RecvError::Disconnected), ["the channel is empty and its last sender was dropped"]);
}

#[test]
fn debug_shows_the_type_and_whether_a_stop_was_requested() {
    let source = StopSource::new();
    let (token, guard) = (source.token(), source.token().on_stop(|| ()));
    assert_eq!(format!("{source:?}"), "StopSource { stop_requested: false, .. }");
    assert_eq!(format!("{token:?}"), "StopToken { stop_requested: false, .. }");
    source.request_stop();
    assert_eq!(format!("{source:?}"), "StopSource { stop_requested: true, .. }");
    assert_eq!(format!("{token:?}"), "StopToken { stop_requested: true, .. }");
    assert_eq!(format!("{guard:?}"), "StopCallback { .. }");
}

#[test]
fn a_source_and_a_token_are_send_and_sync_and_a_callback_is_send() {
    fn send<T: Send + 'static>() {}
    fn sync<T: Sync>() {}
    send::<StopSource>();
    send::<StopToken>();
    send::<StopCallback>();
    sync::<StopSource>();
    sync::<StopToken>();
}
