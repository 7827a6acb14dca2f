//! `on_stop_repeating`: calls from the stop until the guard is dropped. (The growing intervals are tested in
//! `src/stop/repeating.rs`.)

use crate::support::log::record;
use crate::support::{LIMIT, asleep_in, in_time};
use hosted::{Context, Host, RepeatingStopCallback, StopSource, StopToken, worker};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;
use std::{hint, thread};

const OFTEN: Duration = Duration::from_millis(1);
const NEVER_AGAIN: Duration = Duration::MAX;

/// A callback that reports each call and its thread. The receiver disconnects when the callback is dropped.
fn telling() -> (impl FnMut() + Send + 'static, Receiver<String>) {
    let (sender, calls) = channel();
    (move || sender.send(thread::current().name().unwrap_or_default().to_owned()).unwrap_or_default(), calls)
}

// 85
#[test]
fn a_repeating_callback_is_called_from_the_stop_until_its_guard_is_dropped() {
    in_time(|| {
        for every in [Duration::ZERO, OFTEN] {
            let (source, (call, calls)) = (StopSource::new(), telling());
            let guard = source.token().on_stop_repeating(every, call);
            assert!(calls.try_recv().is_err(), "no call before the stop");
            source.request_stop();
            for _ in 0..5 {
                assert_eq!(calls.recv().unwrap(), "hosted-on-stop");
            }
            drop(guard);
            while calls.try_recv().is_ok() {} // the calls before the drop
            assert!(calls.recv().is_err(), "the captured sender is dropped");
        }
    });
}

#[test]
fn a_repeating_callback_registered_after_the_stop_is_called() {
    in_time(|| {
        let (source, (call, calls)) = (StopSource::new(), telling());
        source.request_stop();
        let guard = source.token().on_stop_repeating(OFTEN, call);
        (0..3).for_each(|_| drop(calls.recv().unwrap()));
        drop(guard);
    });
}

#[test]
fn a_repeating_callback_of_a_linked_source_is_called_at_the_parents_stop() {
    in_time(|| {
        let (source, (call, calls)) = (StopSource::new(), telling());
        let linked = StopSource::linked([&source.token()]);
        let guard = linked.token().on_stop_repeating(OFTEN, call);
        source.request_stop();
        (0..3).for_each(|_| drop(calls.recv().unwrap()));
        drop(guard);
    });
}

#[test]
fn a_repeating_callback_dropped_before_the_stop_is_never_called() {
    for token in [StopSource::new().token(), StopToken::never()] {
        let (call, calls) = telling();
        drop(token.on_stop_repeating(OFTEN, call));
        assert!(calls.recv().is_err(), "the callback is dropped without a call");
    }
    let (source, (call, calls)) = (StopSource::new(), telling());
    drop(source.token().on_stop_repeating(OFTEN, call));
    source.request_stop();
    assert!(calls.recv().is_err());
}

#[test]
fn dropping_the_guard_ends_a_long_interval() {
    in_time(|| {
        let (source, (call, calls)) = (StopSource::new(), telling());
        let guard = source.token().on_stop_repeating(NEVER_AGAIN, call);
        source.request_stop();
        calls.recv().unwrap();
        drop(guard);
        assert!(calls.recv().is_err());
    });
}

#[test]
fn dropping_the_guard_waits_for_a_running_call() {
    let (source, (begun, begins)) = (StopSource::new(), channel());
    let (go_on, held) = channel::<()>();
    let ended = Arc::new(Mutex::new(0));
    let count = ended.clone();
    let call = move || {
        begun.send(()).unwrap();
        _ = held.recv();
        *count.lock().unwrap() += 1;
    };
    let guard = source.token().on_stop_repeating(NEVER_AGAIN, call);
    source.request_stop();
    in_time(move || begins.recv().unwrap());
    let dropping = asleep_in(move || {
        drop(guard);
        *ended.lock().unwrap()
    });
    assert_eq!(dropping.result_so_far(), None);
    go_on.send(()).unwrap();
    assert_eq!(dropping.result(), 1);
}

#[test]
fn a_call_that_drops_its_own_guard_does_not_wait_and_is_the_last() {
    let source = StopSource::new();
    let (called, calls) = channel();
    let slot = Arc::new(Mutex::new(None::<RepeatingStopCallback>));
    let own = slot.clone();
    let call = move || {
        drop(own.lock().unwrap().take().expect("the second call has no guard"));
        called.send(()).unwrap();
    };
    *slot.lock().unwrap() = Some(source.token().on_stop_repeating(OFTEN, call));
    source.request_stop();
    in_time(move || {
        calls.recv().unwrap();
        assert!(calls.recv().is_err(), "it was the last call");
    });
}

#[test]
fn a_call_that_panics_is_logged_and_is_the_last() {
    let log = record();
    let (source, (begun, begins)) = (StopSource::new(), channel());
    let guard = source.token().on_stop_repeating(OFTEN, move || {
        begun.send(()).unwrap();
        panic!("by a call");
    });
    let (call, calls) = telling();
    let other = source.token().on_stop_repeating(OFTEN, call);
    assert!(source.request_stop());
    in_time(move || {
        begins.recv().unwrap();
        assert!(begins.recv().is_err(), "it was the last call");
        (0..3).for_each(|_| drop(calls.recv().unwrap()));
        drop((guard, other));
    });
    assert_eq!(log.errors("a stop callback panicked: by a call"), 1);
}

#[test]
fn a_panic_while_a_repeating_callback_is_dropped_is_logged() {
    let log = record();
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("by a drop");
        }
    }
    for stopped in [false, true] {
        let (source, (mut call, calls)) = (StopSource::new(), telling());
        let bomb = Bomb;
        let guard = source.token().on_stop_repeating(OFTEN, move || {
            let _own = &bomb;
            call();
        });
        in_time(move || {
            if stopped {
                source.request_stop();
                calls.recv().unwrap();
            }
            drop(guard);
        });
    }
    assert_eq!(log.errors("by a drop"), 2);
}

#[test]
fn a_call_that_blocks_does_not_block_request_stop() {
    let (source, (sender, held)) = (StopSource::new(), channel::<()>());
    let guard = source.token().on_stop_repeating(OFTEN, move || _ = held.recv());
    in_time(move || assert!(source.request_stop()));
    drop(sender);
    in_time(move || drop(guard));
}

// 85
#[test]
fn no_call_comes_after_the_drop_of_the_guard_in_200_races_with_the_stop() {
    in_time(|| {
        for round in 0..200 {
            let (source, start, over) = (StopSource::new(), Barrier::new(2), Arc::new(Mutex::new(false)));
            let (gone, (called, calls)) = (over.clone(), channel());
            let call = move || called.send(*gone.lock().unwrap()).unwrap();
            let guard = source.token().on_stop_repeating(Duration::ZERO, call);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    source.request_stop();
                });
                start.wait();
                (0..200 * round).for_each(|_| hint::spin_loop());
                drop(guard);
                *over.lock().unwrap() = true;
            });
            assert!(calls.iter().all(|late| !late), "no call may come after the drop");
        }
    });
}

#[test]
fn a_services_repeated_callback_runs_on_a_thread_of_its_name_until_the_service_ends() {
    let (name, names) = channel();
    let (lost, interrupt) = channel();
    let run = move |ctx: &Context| {
        let (name, lost) = (name.clone(), lost.clone());
        let call = move || {
            name.send(thread::current().name().map(str::to_owned)).unwrap();
            _ = lost.send(());
        };
        let _guard = ctx.on_stop_repeating(OFTEN, call);
        ctx.wait();
        (0..3).for_each(|_| interrupt.recv().unwrap()); // the first two calls come a moment too early
        Ok(())
    };
    let mut host = Host::new();
    host.add("query", worker(run));
    host.start().unwrap();
    in_time(move || host.stop(Duration::from_secs(60)).unwrap());
    let names: Vec<_> = names.iter().collect();
    assert!(names.len() >= 3 && names.iter().all(|name| name.as_deref() == Some("query:on_stop")), "{names:?}");
}

#[test]
fn the_thread_name_of_a_repeating_callback_is_escaped() {
    let (source, (named, name)) = (StopSource::new(), channel());
    let ctx = Context::new("a\0b\nc", source.token());
    let send_name = move || _ = named.send(thread::current().name().map(str::to_owned));
    let _guard = ctx.on_stop_repeating(Duration::from_secs(1), send_name);
    source.request_stop();
    assert_eq!(name.recv_timeout(LIMIT).unwrap().as_deref(), Some("a\\0b\\nc:on_stop"));
}
