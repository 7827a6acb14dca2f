//! The cost of a host beyond the threads that it starts and joins.

mod harness;

use harness::fleet::{Threads, bare, idle, named, ready, started, wait};
use harness::signal::{Bare, Signal};
use harness::table::thousands;
use harness::{Bench, Contender, each, sampled};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

fn main() {
    let bench = Bench::from_args();
    side_by_side(&bench);
    in_order(&bench);
    waking(&bench);
}

fn side_by_side(bench: &Bench) {
    let table = bench.comparison("Starting and stopping services side by side");
    for (services, target) in [(1, 1.5), (100, 1.1), (1_000, 1.1), (10_000, 1.1)] {
        table.compare(&format!("start and stop {} side by side", thousands(services)), Some(target), || {
            let bare = each("spawn, notify, join", move || bare(services).stop());
            let all = each("spawn, wait until all run, notify, join", move || ready(services, || ()).stop());
            vec![ours(services), bare, all]
        });
    }
    let table = bench.growth("How that grows");
    let sizes = [100, 1_000, 10_000];
    table.grow("side by side, per service", None, &sizes, |n| ours(n).per(n));
    table.grow("spawn, notify, join, per thread", None, &sizes, |n| each("", move || bare(n).stop()).per(n));
}

fn in_order(bench: &Bench) {
    let table = bench.comparison("Starting and stopping a chain: each when the one before is ready, and in reverse");
    for services in [100, 2_000] {
        table.compare(&format!("start and stop a chain of {}", thousands(services)), None, || {
            vec![chain(services), bare_chain(services)]
        });
    }
    let table = bench.growth("How that grows");
    let sizes = [100, 1_000, 2_000];
    table.grow("a chain, per service", Some(1.2), &sizes, |n| chain(n).per(n));
    table.grow("the bare chain, per thread", None, &sizes, |n| bare_chain(n).per(n));
    table.grow("a chain of 10,000, per service", None, &[100, 10_000], |n| chain(n).per(n));
}

fn waking(bench: &Bench) {
    let table = bench.comparison("From `stop` until the last service is awake");
    for services in [1, 100, 1_000] {
        table.compare(&format!("stop, until the last of {} is awake", thousands(services)), None, || {
            let ours = sampled("", move |n| (0..n).map(|_| until_awake(services)).sum());
            let bare =
                sampled("`notify_all` of one `Condvar`", move |n| (0..n).map(|_| bare_until_awake(services)).sum());
            vec![ours, bare]
        });
    }
}

/// Creates, starts, stops and drops a host.
fn ours(services: usize) -> Contender<'static> {
    each("", move || idle(services).stop(LONG).unwrap())
}

fn chain(services: usize) -> Contender<'static> {
    each("", move || started(services, true, wait).stop(LONG).unwrap())
}

/// A chain of threads: each is spawned when the one before reports that it is ready, and is joined before the one
/// before receives its stop.
fn bare_chain(threads: usize) -> Contender<'static> {
    let spawn = |number| {
        let (ready, stop) = (Bare::fresh(), Bare::fresh());
        let (is_ready, stopped) = (ready.clone(), stop.clone());
        let run = move || {
            is_ready.raise();
            stopped.wait();
        };
        let thread = named(number, run);
        ready.wait();
        Threads { stop, threads: vec![thread] }
    };
    let all = move || (0..threads).map(spawn).collect::<Vec<_>>().into_iter().rev().for_each(Threads::stop);
    each("a thread after the other, joined in reverse", all)
}

/// The time at which the last of several threads arrived.
#[derive(Clone)]
struct Last(Arc<AtomicU64>, Instant);

impl Last {
    fn new() -> Self {
        Last(Arc::default(), Instant::now())
    }

    fn here(&self) {
        self.0.fetch_max(self.1.elapsed().as_nanos() as u64, Ordering::Relaxed);
    }

    fn since(&self, begin: Instant) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed)) - (begin - self.1)
    }
}

fn until_awake(services: usize) -> Duration {
    let last = Last::new();
    let here = last.clone();
    let mut host = started(services, false, move |ctx| {
        ctx.wait();
        here.here();
        Ok(())
    });
    let begin = asleep(services);
    host.stop(LONG).unwrap();
    last.since(begin)
}

fn bare_until_awake(threads: usize) -> Duration {
    let last = Last::new();
    let here = last.clone();
    let running = ready(threads, move || here.here());
    let begin = asleep(threads);
    running.stop();
    last.since(begin)
}

/// Returns the time at which the last of these threads, which are about to sleep, is asleep.
fn asleep(threads: usize) -> Instant {
    thread::sleep(Duration::from_micros(500 + threads as u64));
    Instant::now()
}
