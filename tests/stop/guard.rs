//! The guards of stop callbacks: dropping and unregistering at any moment.

use crate::support::{LIMIT, Sleeper, asleep_in, counting, in_time, race};
use hosted::{StopCallback, StopSource, StopToken};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

/// A guard that callbacks can reach.
type Slot = Arc<Mutex<Option<StopCallback>>>;

fn take(slot: &Slot) -> Option<StopCallback> {
    slot.lock().unwrap().take()
}

/// Blocks in a callback until the test lets it continue, or has failed.
fn gate() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
    let (open, opened) = mpsc::channel();
    (open, move || _ = opened.recv_timeout(LIMIT))
}

// 6
#[test]
fn dropping_a_guard_waits_for_its_callback_on_another_thread() {
    in_time(|| {
        let source = StopSource::new();
        let done = Arc::new(AtomicBool::new(false));
        let (open, wait) = gate();
        let finish = done.clone();
        let guard = source.token().on_stop(move || {
            wait();
            finish.store(true, Ordering::SeqCst);
        });
        let requester = asleep_in(move || source.request_stop());
        let seen = done.clone();
        let dropper = asleep_in(move || {
            drop(guard);
            seen.load(Ordering::SeqCst)
        });
        assert_eq!(dropper.result_so_far(), None, "the callback still runs");
        open.send(()).unwrap();
        assert!(dropper.result(), "the drop returned before the callback had");
        assert!(requester.result());
    });
}

// 6, 7
#[test]
fn dropping_a_guard_in_its_own_callback_does_not_wait() {
    in_time(|| {
        let (source, inner) = (StopSource::new(), StopSource::new());
        let (sender, reports) = mpsc::channel();
        let slots: [Slot; 2] = Default::default();

        let (own, report) = (slots[0].clone(), sender.clone());
        *slots[0].lock().unwrap() = Some(source.token().on_stop(move || {
            drop(take(&own));
            report.send("itself").unwrap();
        }));
        // This also holds if the callback of another source, which runs inside this one, drops the guard.
        let (outer, report) = (slots[1].clone(), sender);
        let inside = inner.token().on_stop(move || {
            drop(take(&outer));
            report.send("from within").unwrap();
        });
        *slots[1].lock().unwrap() = Some(source.token().on_stop(move || assert!(inner.request_stop())));

        assert!(source.request_stop());
        let mut reports: Vec<_> = reports.try_iter().collect();
        reports.sort_unstable();
        assert_eq!(reports, ["from within", "itself"]);
        drop(inside);
    });
}

// 6
#[test]
fn dropping_a_guard_does_not_wait_for_another_callback() {
    in_time(|| {
        let source = StopSource::new();
        let (started, running) = mpsc::channel();
        let (open, gates): (Vec<_>, Vec<_>) = [gate(), gate(), gate()].into_iter().unzip();
        let mut guards = BTreeMap::new();
        for (number, wait) in gates.into_iter().enumerate() {
            let started = started.clone();
            let callback = move || {
                started.send(number).unwrap();
                wait();
            };
            guards.insert(number, source.token().on_stop(callback));
        }
        drop(started);
        let requester = asleep_in(move || source.request_stop());
        // The callbacks run in an unknown order: the first has run, the second runs, the third has not begun.
        let first = running.recv_timeout(LIMIT).unwrap();
        open[first].send(()).unwrap();
        let second = running.recv_timeout(LIMIT).unwrap();
        let of_second = guards.remove(&second);
        drop(guards);
        assert_eq!(requester.result_so_far(), None, "the second is still running");
        open[second].send(()).unwrap();
        assert!(requester.result());
        assert!(running.recv_timeout(LIMIT).is_err(), "the third ran");
        drop(of_second);
    });
}

// 9
#[test]
fn unregister_never_waits_and_returns_true_if_the_callback_will_never_run() {
    in_time(|| {
        let source = StopSource::new();
        let runs = Arc::new(AtomicUsize::new(0));
        assert!(source.token().on_stop(counting(&runs)).unregister(), "it never will");
        assert_eq!(Arc::strong_count(&runs), 1, "the captured value is dropped");

        let (open, wait) = gate();
        let (running, has_run) = (source.token().on_stop(wait), source.token().on_stop(counting(&runs)));
        let requester = asleep_in(move || source.request_stop());
        assert!(!running.unregister(), "it runs now");
        assert_eq!(requester.result_so_far(), None, "unregistering did not wait for the callback");
        open.send(()).unwrap();
        assert!(requester.result());
        assert!(!has_run.unregister(), "it has run");
        assert_eq!(runs.load(Ordering::SeqCst), 1);

        assert!(StopToken::never().on_stop(counting(&runs)).unregister(), "never comes never");
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    });
}

// 9
#[test]
fn callbacks_that_unregister_each_other_at_the_same_time_do_not_deadlock() {
    in_time(|| {
        let sources = [StopSource::new(), StopSource::new()];
        let slots: [Slot; 2] = Default::default();
        let both_run = Arc::new(Barrier::new(2));
        let (sender, reports) = mpsc::channel();
        for number in 0..2 {
            let (other, both_run, report) = (slots[1 - number].clone(), both_run.clone(), sender.clone());
            *slots[number].lock().unwrap() = Some(sources[number].token().on_stop(move || {
                both_run.wait();
                report.send(take(&other).unwrap().unregister()).unwrap();
            }));
        }
        let requesters = sources.map(|source| asleep_in(move || source.request_stop()));
        assert!(requesters.iter().all(Sleeper::result));
        assert_eq!(reports.try_iter().collect::<Vec<_>>(), [false, false], "each was running");
    });
}

#[test]
#[cfg_attr(miri, ignore = "thousands of rounds take Miri longer than the limit")]
fn callbacks_that_stay_registered_among_thousands_run_exactly_once() {
    in_time(|| {
        let source = StopSource::new();
        let (sender, ran) = mpsc::channel();
        let mut guards = BTreeMap::new();
        let mut random = 1_u32;
        for number in 0..21_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sender = sender.clone();
            guards.insert(number, source.token().on_stop(move || sender.send(number).unwrap()));
            // Up to a thousand, then none, again and again: slots are reused, freed and allocated again.
            let leave = if number / 2_000 % 2 == 0 { random >> 31 } else { 2 };
            for _ in 0..leave.min(guards.len() as u32) {
                let chosen = *guards.keys().nth((random >> 16) as usize % guards.len()).unwrap();
                let guard = guards.remove(&chosen).unwrap();
                assert!(random & 1 == 0 || guard.unregister());
            }
        }
        assert!(guards.len() > 100, "some callbacks must be left to run");
        source.request_stop();
        let mut ran: Vec<_> = ran.try_iter().collect();
        ran.sort_unstable();
        assert_eq!(ran, guards.into_keys().collect::<Vec<_>>());
    });
}

#[test]
fn unregistering_some_callbacks_affects_no_others() {
    for left in 0..1_u32 << 6 {
        let source = StopSource::new();
        let (sender, ran) = mpsc::channel();
        let register = |number| {
            let sender = sender.clone();
            source.token().on_stop(move || sender.send(number).unwrap())
        };
        let mut guards: Vec<_> = (0..6).map(register).map(Some).collect();
        let is_left = |number: &usize| left >> number & 1 == 1;
        (0..6).filter(|number| !is_left(number)).for_each(|number| guards[number] = None);
        source.request_stop();
        assert_eq!(ran.try_iter().collect::<BTreeSet<_>>(), (0..6).filter(is_left).collect());
    }
}

/// Counts what one callback did. Its guard has neighbours, and its slot was used before.
struct Registered {
    source: StopSource,
    guard: Mutex<Option<StopCallback>>,
    _neighbours: [StopCallback; 2],
    runs: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
    verdict: Mutex<Option<(bool, usize)>>,
}

impl Registered {
    fn new() -> Self {
        let source = StopSource::new();
        let before = source.token().on_stop(|| ());
        let predecessor = source.token().on_stop(|| ());
        let behind = source.token().on_stop(|| ());
        drop(predecessor);
        let (runs, done) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, finish) = (counting(&runs), done.clone());
        let guard = Mutex::new(Some(source.token().on_stop(move || {
            count();
            thread::yield_now();
            finish.store(true, Ordering::SeqCst);
        })));
        Registered { source, guard, _neighbours: [before, behind], runs, done, verdict: Mutex::new(None) }
    }

    fn stop(&self) {
        assert!(self.source.request_stop());
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

// 5
#[test]
fn a_callback_never_runs_after_the_drop_of_its_guard_in_10_000_races() {
    let forget = |round: &Registered| {
        drop(round.guard.lock().unwrap().take());
        *round.verdict.lock().unwrap() = Some((round.done.load(Ordering::SeqCst), round.runs()));
    };
    let check = |round: &Registered| {
        let (done, runs) = round.verdict.lock().unwrap().unwrap();
        assert!(runs <= 1);
        assert_eq!(done, runs == 1, "the drop returned while the callback ran");
        assert_eq!(round.runs(), runs, "the callback ran after the drop returned");
    };
    in_time(move || race(Registered::new, Registered::stop, forget, check));
}

// 5
#[test]
fn unregister_tells_the_truth_in_10_000_races_with_a_stop_request() {
    let unregister = |round: &Registered| {
        let never = round.guard.lock().unwrap().take().unwrap().unregister();
        *round.verdict.lock().unwrap() = Some((never, 0));
    };
    let check = |round: &Registered| {
        let (never, _) = round.verdict.lock().unwrap().unwrap();
        assert_eq!(round.runs(), usize::from(!never));
    };
    in_time(move || race(Registered::new, Registered::stop, unregister, check));
}
