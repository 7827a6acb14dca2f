//! The cost of the stop token, compared with the least that could do the same.

mod harness;

use harness::crew::Crew;
use harness::signal::{Bare, Disconnect, OurDone, Ours, Signal};
use harness::table::thousands;
use harness::{Bench, Contender, batch, each, sampled};
use hosted::{StopCallback, StopSource, StopToken};
use parking_lot::Mutex;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

type Callback = Box<dyn FnOnce() + Send>;

fn main() {
    let bench = Bench::from_args();
    look_and_make(&bench);
    link_and_register(&bench);
    stop(&bench);
    grow(&bench);
    wait(&bench);
}

fn look_and_make(bench: &Bench) {
    let table = bench.comparison("Checking and creating a token");
    let polls = |token: StopToken| {
        let flag = Arc::new(AtomicBool::new(false));
        let ours = each("", move || black_box(&token).stop_requested());
        vec![ours, each("`AtomicBool::load`", move || black_box(&flag).load(Ordering::Acquire))]
    };
    table.compare("poll", Some(1.05), || polls(StopSource::new().token()));
    table.compare("poll, the last of 100 linked in a row", Some(1.05), || polls(chain(100)));
    table.compare("poll, linked to 1,000 parents", Some(1.05), || {
        let parents: Vec<_> = (0..1_000).map(|_| StopSource::new().token()).collect();
        polls(StopSource::linked(&parents).token())
    });
    table.compare("make and drop a source with a token", Some(2.2), || {
        let ours = each("", || with_token(StopSource::new()));
        let flag = || {
            let flag = Arc::new(AtomicBool::new(false));
            (flag.clone(), flag)
        };
        vec![ours, each("`Arc<AtomicBool>`, made, cloned, dropped", flag)]
    });
    table.compare("clone and drop a token", Some(1.05), || {
        let (token, flag) = (StopSource::new().token(), Arc::new(AtomicBool::new(false)));
        let ours = each("", move || black_box(&token).clone());
        vec![ours, each("`Arc::clone`", move || black_box(&flag).clone())]
    });
}

fn link_and_register(bench: &Bench) {
    let table = bench.comparison("Linking a source, registering a callback");
    table.compare("make and drop a linked source with a token", Some(0.75), || {
        let parent = CancellationToken::new();
        vec![linking(0), each("tokio-util, `child_token`", move || parent.child_token())]
    });
    table.compare("register and deregister a callback", Some(1.2), || {
        let slot: Mutex<Option<Callback>> = Mutex::new(None);
        let boxed = move || {
            *slot.lock() = Some(callback());
            slot.lock().take()
        };
        vec![registering(0), each("one boxed closure, two lock pairs", boxed)]
    });
}

fn stop(bench: &Bench) {
    let table = bench.comparison("Stopping");
    table.compare("stop, nobody listening", Some(0.35), || {
        let ours = batch("", 500, || with_token(StopSource::new()), |(source, _)| source.request_stop());
        let theirs =
            batch("tokio-util, `cancel`", 500, || twice(CancellationToken::new()), |(token, _)| token.cancel());
        vec![ours, theirs]
    });
    table.compare("stop, per callback of 1,000", Some(1.7), || {
        let boxes = || (0..1_000).map(|_| callback()).collect::<Vec<_>>();
        let call = |boxes: &mut Vec<Callback>| boxes.drain(..).for_each(|f| f());
        vec![calling(1_000), batch("calling a `Vec` of boxes", 1, boxes, call).per(1_000)]
    });
    table.compare("stop, per idle child of 1,000", Some(0.75), || {
        let make = || {
            let parent = CancellationToken::new();
            let children: Vec<_> = (0..1_000).map(|_| parent.child_token()).collect();
            (parent, children)
        };
        let theirs = batch("tokio-util, `cancel`", 1, make, |(parent, _)| parent.cancel());
        vec![flagging(1_000), theirs.per(1_000)]
    });
}

fn grow(bench: &Bench) {
    let table = bench.growth("How that grows");
    table.grow("make and drop a linked source, beside so many others", Some(1.1), &[0, 100, 10_000], linking);
    table.grow("register and deregister a callback, beside so many others", Some(1.1), &[0, 100, 10_000], registering);
    let sizes = [100, 1_000, 10_000];
    table.grow("stop, per callback", None, &sizes, calling);
    table.grow("stop, per idle child", None, &sizes, flagging);
    table
        .grow("make and drop a row of linked sources, per source", None, &sizes, |n| each("", move || chain(n)).per(n));
}

fn wait(bench: &Bench) {
    let table = bench.comparison("Waking, until the last thread is awake");
    for size in [1, 100, 1_000] {
        table.compare(&format!("wake {} waiting", thousands(size)), Some(1.1), || {
            vec![waking::<Ours>("", size), waking::<Bare>("the same on a bare `Mutex` and `Condvar`", size)]
        });
    }
    table.compare("wake 1 receiving from `done()`", Some(1.1), || {
        vec![waking::<OurDone>("", 1), waking::<Disconnect>("crossbeam's own disconnect", 1)]
    });
    let table = bench.comparison("Sleeping for 1 ms: the delay beyond that");
    table.compare("sleep that runs out", Some(1.05), || {
        let token = StopSource::new().token();
        let ours = oversleeping("", move |time| token.sleep(time).unwrap());
        vec![ours, oversleeping("`thread::sleep`", thread::sleep)]
    });
}

fn with_token(source: StopSource) -> (StopSource, StopToken) {
    let token = source.token();
    (source, token)
}

fn twice<T: Clone>(value: T) -> (T, T) {
    (value.clone(), value)
}

/// The last source of a chain in which each is linked to the one before.
fn chain(length: usize) -> StopToken {
    let first = StopSource::new().token();
    (1..length).fold(first, |token, _| StopSource::linked([&token]).token())
}

/// The callback captures a value, because a closure without captures is boxed without an allocation.
fn callback() -> Callback {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let calls = black_box(&CALLS);
    Box::new(move || calls.store(1, Ordering::Relaxed))
}

fn linking(siblings: usize) -> Contender<'static> {
    let parent = StopSource::new().token();
    let others: Vec<_> = (0..siblings).map(|_| StopSource::linked([&parent])).collect();
    each("", move || {
        black_box(&others);
        with_token(StopSource::linked([&parent]))
    })
}

fn registering(others: usize) -> Contender<'static> {
    let token = StopSource::new().token();
    let others = registered(&token, others);
    each("", move || {
        black_box(&others);
        register(&token)
    })
}

fn register(token: &StopToken) -> StopCallback {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let calls = black_box(&CALLS);
    token.on_stop(move || calls.store(1, Ordering::Relaxed))
}

fn registered(token: &StopToken, callbacks: usize) -> Vec<StopCallback> {
    (0..callbacks).map(|_| register(token)).collect()
}

fn calling(callbacks: usize) -> Contender<'static> {
    let make = move || {
        let source = StopSource::new();
        let guards = registered(&source.token(), callbacks);
        (source, guards)
    };
    batch("", 1, make, |(source, _)| source.request_stop()).per(callbacks)
}

fn flagging(children: usize) -> Contender<'static> {
    let make = move || {
        let parent = StopSource::new();
        let token = parent.token();
        let children: Vec<_> = (0..children).map(|_| with_token(StopSource::linked([&token]))).collect();
        (parent, children)
    };
    batch("", 1, make, |(parent, _)| parent.request_stop()).per(children)
}

fn waking<S: Signal>(what: &str, size: usize) -> Contender<'static> {
    let crew = Crew::<S>::new(size);
    sampled(what, move |n| (0..n).map(|_| crew.wake()).sum())
}

fn oversleeping<'a>(what: &str, sleep: impl Fn(Duration) + 'a) -> Contender<'a> {
    const TIME: Duration = Duration::from_millis(1);
    let once = move || {
        let begin = Instant::now();
        sleep(TIME);
        begin.elapsed() - TIME
    };
    sampled(what, move |n| (0..n).map(|_| once()).sum())
}
