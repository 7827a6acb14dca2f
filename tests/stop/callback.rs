//! Stop callbacks: when, where and how often they run. The library catches a failed assertion inside a callback, so
//! callbacks report to the test.

use crate::support::log::record;
use crate::support::{Sleeper, asleep_in, counting, in_time, race};
use hosted::{RecvError, StopCallback, StopSource, StopToken, Stopped};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

// 3
#[test]
fn callbacks_run_on_the_requesting_thread_after_all_waiters_were_woken() {
    in_time(|| {
        let root = StopSource::new();
        let child = StopSource::linked([&root.token()]);
        let tokens = Arc::new([root.token(), child.token(), StopSource::linked([&child.token()]).token()]);
        let waits: [fn(StopToken) -> bool; 3] = [
            |token| token.wait_timeout(Duration::MAX),
            |token| token.recv(&crossbeam_channel::never::<()>()) == Err(RecvError::Stopped),
            |token| token.done().recv().is_err(),
        ];
        let asleep = |token: &StopToken| {
            waits.map(|wait| (wait, token.clone())).map(|(wait, token)| asleep_in(move || wait(token)))
        };
        let sleepers: Arc<Mutex<Vec<Sleeper<bool>>>> = Arc::new(Mutex::new(tokens.iter().flat_map(asleep).collect()));

        let (sender, reports) = mpsc::channel();
        let guards = [0, 1, 2].map(|level| {
            let (tokens, sleepers, sender) = (tokens.clone(), sleepers.clone(), sender.clone());
            tokens.clone()[level].on_stop(move || {
                let flags = tokens.iter().all(StopToken::stop_requested);
                let woken = sleepers.lock().unwrap().drain(..).all(|sleeper| sleeper.result());
                sender.send((thread::current().id(), flags, woken)).unwrap();
            })
        });
        assert!(root.request_stop());
        let reports: Vec<_> = reports.try_iter().collect();
        assert_eq!(reports, [(thread::current().id(), true, true); 3]);
        drop(guards);
    });
}

// 4
#[test]
fn a_callback_registered_after_the_stop_runs_at_once_on_the_registering_thread() {
    in_time(|| {
        let (alone, listened) = (StopSource::new(), StopSource::new());
        let earlier = listened.token().on_stop(|| ());
        assert!(alone.request_stop() && listened.request_stop());
        for source in [&alone, &listened, &StopSource::linked([&alone.token()])] {
            let (sender, reports) = mpsc::channel();
            let report = move || sender.send(thread::current().id()).unwrap();
            let registering = thread::current().id();
            let dropped = source.token().on_stop(report.clone());
            assert_eq!(reports.try_recv(), Ok(registering));
            drop(dropped);
            assert!(!source.token().on_stop(report).unregister(), "it has run");
            assert_eq!(reports.try_recv(), Ok(registering));
            assert!(reports.recv().is_err(), "the callback is dropped after its one run");
        }
        drop(earlier);
    });
}

// 5
#[test]
fn a_callback_registered_during_a_stop_request_runs_exactly_once_in_10_000_races() {
    type Round = (StopSource, Arc<AtomicUsize>, Mutex<Vec<StopCallback>>);
    let fresh = || (StopSource::new(), Arc::default(), Mutex::default());
    let stop = |(source, ..): &Round| assert!(source.request_stop());
    let register = |(source, runs, guards): &Round| {
        let first = source.token().on_stop(counting(runs));
        guards.lock().unwrap().extend([first, source.token().on_stop(counting(runs))]);
    };
    let check = |(_, runs, _): &Round| assert_eq!(runs.load(Ordering::SeqCst), 2);
    in_time(move || race(fresh, stop, register, check));
}

// 7
#[test]
fn a_callback_may_drop_guards_register_link_wait_and_request_the_stop_again() {
    in_time(|| {
        let source = StopSource::new();
        let runs = Arc::new(AtomicUsize::new(0));
        let slots: Arc<[Mutex<Option<StopCallback>>; 3]> = Arc::default();
        let (sender, reports) = mpsc::channel();
        for slot in slots.iter() {
            let (all, source_again, token, runs, report) =
                (slots.clone(), source.clone(), source.token(), runs.clone(), sender.clone());
            *slot.lock().unwrap() = Some(source.token().on_stop(move || {
                let dropped = all.iter().filter_map(|slot| slot.lock().unwrap().take()).count();
                drop(token.on_stop(counting(&runs)));
                let linked = StopSource::linked([&token]).stop_requested();
                token.wait();
                let slept = token.sleep(Duration::MAX);
                let done = token.done().recv().is_err();
                source_again.request_stop_after(Duration::ZERO);
                report.send((dropped, linked, slept, done, source_again.request_stop())).unwrap();
            }));
        }
        assert!(source.request_stop());
        // The first callback dropped all guards, also its own. The callback that it registered ran at once.
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [(3, true, Err(Stopped), true, false)]);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

// 7
#[test]
fn no_lock_is_held_while_a_callback_runs_or_what_it_captured_is_dropped() {
    in_time(|| {
        /// Uses a token in every possible way, on another thread.
        struct UsesToken(StopToken, mpsc::Sender<bool>);

        impl UsesToken {
            fn use_it(&self) -> bool {
                let token = self.0.clone();
                let used = asleep_in(move || {
                    drop(token.on_stop(|| ()));
                    _ = token.done();
                    StopSource::linked([&token]).stop_requested() == token.wait_timeout(Duration::ZERO)
                });
                used.result_in_time() == Some(true)
            }
        }

        impl Drop for UsesToken {
            fn drop(&mut self) {
                let fine = self.use_it();
                self.1.send(fine).unwrap();
            }
        }

        let source = StopSource::new();
        let (sender, reports) = mpsc::channel();
        let register = || {
            let captured = UsesToken(source.token(), sender.clone());
            source.token().on_stop(move || captured.1.send(captured.use_it()).unwrap())
        };
        let guards = [register(), register()];
        drop(register());
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [true], "dropped with its guard");
        assert!(register().unregister());
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [true], "dropped with the registration");
        assert!(source.request_stop());
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [true; 4], "both are run and then dropped");
        drop(guards);
    });
}

/// Panics when it is dropped.
struct DropBomb(&'static str);

impl Drop for DropBomb {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

// 8
#[test]
fn a_callback_that_panics_is_logged_and_all_others_run() {
    in_time(|| {
        let log = record();
        let source = StopSource::new();
        let linked = StopSource::linked([&source.token()]);
        let runs = Arc::new(AtomicUsize::new(0));
        let guards = [
            source.token().on_stop(counting(&runs)),
            source.token().on_stop(|| panic!("a text, of a callback")),
            source.token().on_stop(counting(&runs)),
            source.token().on_stop(|| panic!("{} text, of a callback", "a formatted")),
            source.token().on_stop(|| std::panic::panic_any(1)),
            source.token().on_stop(|| std::panic::panic_any(DropBomb("thrown from the payload"))),
            source.token().on_stop(counting(&runs)),
            linked.token().on_stop(|| panic!("a child's text")),
            linked.token().on_stop(counting(&runs)),
        ];
        assert!(source.request_stop());
        assert_eq!(runs.load(Ordering::SeqCst), 4);
        assert!(linked.token().wait_timeout(Duration::ZERO));
        drop(guards);
        for text in ["a text, of a callback", "a formatted text, of a callback", "a child's text"] {
            assert_eq!(log.errors(text), 1, "{text:?}");
        }
        assert_eq!(log.errors("(non-string panic payload)"), 2);
    });
}

// 8
#[test]
fn a_callback_that_panics_because_it_was_registered_late_is_logged_too() {
    let log = record();
    let source = StopSource::new();
    source.request_stop();
    let guard = source.token().on_stop(|| panic!("too late, and then this"));
    assert_eq!(log.errors("too late, and then this"), 1);
    assert!(!guard.unregister());
}

#[test]
fn a_panic_while_an_unregistered_callback_is_dropped_is_logged_and_caught() {
    in_time(|| {
        let log = record();
        let source = StopSource::new();
        let register = |text| {
            let bomb = DropBomb(text);
            source.token().on_stop(move || drop(bomb))
        };
        let neighbour = source.token().on_stop(|| ());
        assert!(register("unregistered, it blew up").unregister());
        drop(register("dropped, it blew up"));
        assert_eq!([log.errors("unregistered, it blew up"), log.errors("dropped, it blew up")], [1, 1]);
        drop(neighbour);
    });
}
