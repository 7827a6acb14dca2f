//! What stop tokens allocate and keep.

use crate::allocator::counted;
use hosted::{StopSource, StopToken};
use std::time::Duration;

#[test]
fn the_allocator_counts_allocations_and_bytes() {
    assert_eq!(counted(|| Box::new([0_u8; 100])).1, 1);
    assert_eq!(counted(|| Box::new([0_u8; 100])).2, 100);
    let boxed = Box::new(0_u64);
    assert_eq!(counted(move || drop(boxed)), ((), 0, -8));
}

// 15
#[test]
fn never_allocates_nothing() {
    let captured = String::from("what the callback would have used");
    let (_, allocations, bytes) = counted(|| {
        let token = StopToken::never();
        let clone = token.clone();
        assert!(!clone.stop_requested() && token.check().is_ok() && !token.wait_timeout(Duration::ZERO));
        assert!(token.done().try_recv().is_err());
        drop(token.on_stop(move || assert!(captured.is_empty())));
        (token, clone)
    });
    assert_eq!(allocations, 0);
    assert!(bytes <= 0, "the callback and its text are dropped");
}

#[test]
#[cfg(target_pointer_width = "64")]
fn a_source_takes_80_bytes_a_linked_source_112_and_a_callback_48() {
    let (source, allocations, bytes) = counted(StopSource::new);
    assert_eq!(allocations, 1);
    assert!(bytes <= 80, "{bytes} bytes for a source");
    let (_, allocations, bytes) = counted(|| (source.token(), source.token(), source.clone(), source.stop_requested()));
    assert_eq!((allocations, bytes), (0, 0), "tokens and clones share it");

    let parent = source.token();
    drop(StopSource::linked([&parent])); // the first child allocates room at the parent
    let (linked, allocations, bytes) = counted(|| StopSource::linked([&parent]));
    assert_eq!(allocations, 1);
    assert!(bytes <= 112, "{bytes} bytes for a linked source");
    drop(linked);

    let counter = std::sync::Arc::new(());
    let register = |_| {
        let counter = counter.clone();
        parent.on_stop(move || drop(counter))
    };
    let mut guards = Vec::with_capacity(1_024);
    let ((), _, bytes) = counted(|| guards.extend((0..1_024).map(register)));
    let each = bytes / 1_024;
    assert!(each <= 48, "{each} bytes for a callback that captures eight");
}

// 11
#[test]
fn a_parent_keeps_nothing_of_a_million_dropped_linked_sources() {
    let parent = StopSource::new();
    let token = parent.token();
    let first = StopSource::linked([&token]);
    let one_after_another = || (0..1_000_000).for_each(|_| drop(StopSource::linked([&token])));
    one_after_another(); // allocates room for a second child, which is kept
    assert_eq!(counted(one_after_another).2, 0);

    drop(first);
    let all_at_once = || drop((0..1_000_000).map(|_| StopSource::linked([&token])).collect::<Vec<_>>());
    let ((), _, bytes) = counted(all_at_once);
    assert!(bytes <= 0, "{bytes} bytes are left of a million");

    // Neither if they stop one by one, nor if the parent stops them.
    let stopped = || (0..100_000).for_each(|_| assert!(StopSource::linked([&token]).request_stop()));
    stopped();
    assert_eq!(counted(stopped).2, 0);
    let size = counted(StopSource::new).2;
    let children: Vec<_> = (0..100_000).map(|_| StopSource::linked([&token])).collect();
    let ((), _, bytes) = counted(|| {
        assert!(parent.request_stop());
        drop(children);
    });
    assert!(bytes <= -100_000 * size, "{bytes} bytes after 100,000 children are gone");
}

#[test]
fn a_token_keeps_nothing_of_a_million_dropped_callbacks_and_receivers() {
    let token = StopSource::new().token();
    let callbacks = || (0..1_000_000).for_each(|number: u64| drop(token.on_stop(move || assert!(number > 0))));
    callbacks();
    assert_eq!(counted(callbacks).2, 0);
    let all_at_once = || drop((0..100_000).map(|_| token.on_stop(|| ())).collect::<Vec<_>>());
    assert!(counted(all_at_once).2 <= 0);
    let done = || (0..100_000).for_each(|_| assert!(token.done().clone().try_recv().is_err()));
    done();
    assert_eq!(counted(done).2, 0);
}

#[test]
fn a_stop_without_callbacks_and_children_allocates_nothing() {
    let source = StopSource::new();
    let token = source.token();
    drop(token.on_stop(|| ())); // a callback that was dropped does not count
    assert!(token.done().try_recv().is_err() && !token.wait_timeout(Duration::ZERO));
    let (_, allocations, bytes) = counted(|| source.request_stop());
    assert_eq!(allocations, 0);
    assert!(bytes <= 0, "{bytes} bytes are left of the stop");
}

// 14
#[test]
fn a_timer_keeps_nothing_of_sources_that_were_dropped_or_stopped_earlier() {
    const HOUR: Duration = Duration::from_secs(3600);
    type Kept = (StopToken, Option<StopSource>);

    // The first wait of a thread allocates what it sleeps with, which must not be counted below.
    StopSource::new().token().wait_timeout(Duration::from_millis(1));
    let size = counted(StopSource::new).2;
    // What happens to a source with a timer, and what must be left of it.
    let unset: [fn(StopSource) -> Kept; 4] = [
        |source| {
            assert!(source.request_stop());
            (source.token(), Some(source))
        },
        |source| {
            assert!(source.request_stop());
            source.request_stop_after(HOUR); // too late to be set
            (source.token(), Some(source))
        },
        |source| {
            source.request_stop_after(Duration::MAX);
            (source.token(), Some(source))
        },
        |source| {
            source.request_stop_after(HOUR / 2);
            (source.token(), None) // the source is dropped; its token keeps the signal, and no timer
        },
    ];
    for (number, unset) in unset.into_iter().enumerate() {
        let set_and_unset = |_| {
            let source = StopSource::new();
            source.request_stop_after(HOUR);
            unset(source)
        };
        (0..1_000).map(set_and_unset).for_each(drop);
        let mut kept = Vec::with_capacity(1_000);
        let ((), _, bytes) = counted(|| kept.extend((0..1_000).map(set_and_unset)));
        assert_eq!(bytes, 1_000 * size, "bytes, of them {size} for each signal, in case {number}");
    }
}
