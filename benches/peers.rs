//! Other ways to signal a stop, compared in one run.

mod harness;

use harness::crew::Crew;
use harness::signal::{CancellationToken, Ours, Pair, Signal, TokioUtil};
use harness::table::{duration, quartiles};
use harness::{Bench, batch, each, sampled};
use hosted::{Host, StopSource, worker};
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const TOKIO_UTIL: &str = "tokio-util `CancellationToken`";
const CANCELLATION_TOKEN: &str = "cancellation-token";
const PAIR: &str = "`Arc<(Mutex<bool>, Condvar)>`";

fn main() {
    let bench = Bench::from_args();
    tokens(&bench);
    today(&bench);
}

fn tokens(bench: &Bench) {
    let table = bench.comparison("Tokens of other crates, and the pair that is written by hand");
    table.compare("poll", None, || {
        let (ours, tokio) = (StopSource::new().token(), tokio_util::sync::CancellationToken::new());
        let (token, Pair(pair)) = (cancellation_token::CancellationTokenSource::new().token(), Pair::fresh());
        vec![
            each("", move || black_box(&ours).stop_requested()),
            each(TOKIO_UTIL, move || black_box(&tokio).is_cancelled()),
            each(CANCELLATION_TOKEN, move || black_box(&token).is_canceled()),
            each(PAIR, move || *black_box(&pair).0.lock().unwrap()),
        ]
    });
    table.compare("make and drop, with a token", None, || {
        let tokio = || twice(tokio_util::sync::CancellationToken::new());
        let pair = || twice(Pair::fresh());
        vec![
            each("", Ours::fresh),
            each(TOKIO_UTIL, tokio),
            each(CANCELLATION_TOKEN, CancellationToken::fresh),
            each(PAIR, pair),
        ]
    });
    table.compare("clone and drop a token", None, || {
        let (ours, tokio) = (StopSource::new().token(), tokio_util::sync::CancellationToken::new());
        let (token, pair) = (cancellation_token::CancellationTokenSource::new().token(), Pair::fresh());
        vec![
            each("", move || black_box(&ours).clone()),
            each(TOKIO_UTIL, move || black_box(&tokio).clone()),
            each(CANCELLATION_TOKEN, move || black_box(&token).clone()),
            each(PAIR, move || black_box(&pair).clone()),
        ]
    });
    table.compare("stop, nobody listening", None, || {
        fn stop<S: Signal>(what: &str) -> harness::Contender<'static> {
            batch(what, 500, S::fresh, |signal| signal.raise())
        }
        vec![
            stop::<Ours>(""),
            stop::<TokioUtil>(TOKIO_UTIL),
            stop::<CancellationToken>(CANCELLATION_TOKEN),
            stop::<Pair>(PAIR),
        ]
    });
    table.compare("wake one waiting thread", None, || {
        fn wake<S: Signal>(what: &str) -> harness::Contender<'static> {
            let crew = Crew::<S>::new(1);
            sampled(what, move |n| (0..n).map(|_| crew.wake()).sum())
        }
        vec![
            wake::<Ours>(""),
            wake::<TokioUtil>(TOKIO_UTIL),
            wake::<CancellationToken>(CANCELLATION_TOKEN),
            wake::<Pair>(PAIR),
        ]
    });
}

fn twice<T: Clone>(value: T) -> (T, T) {
    (value.clone(), value)
}

/// The number of services in the following comparison.
const SERVICES: usize = 8;
/// How long a service sleeps between two checks of a flag.
const NAP: Duration = Duration::from_millis(100);
const STOPS: u64 = 41;

fn today(bench: &Bench) {
    let (ours, theirs) = ("`hosted`", "`Vec<JoinHandle>`, `AtomicBool`, sleeping 100 ms at a time");
    let latency = bench.table(
        "What people write today: 8 idle services, from the request to the last `join`",
        "what | median | longest",
    );
    if bench.wants("today: time to stop") {
        let (mut hosts, mut flags) = (Vec::new(), Vec::new());
        for round in 0..STOPS {
            // The request comes at a random moment of the sleep.
            let moment = NAP * (round * 13 % STOPS) as u32 / STOPS as u32;
            hosts.push(timed(Hosted::start(), moment, |mut hosted| {
                drop(hosted.0.stop(Duration::from_secs(60)).unwrap())
            }));
            flags.push(timed(Napping::start(), moment, Napping::stop));
        }
        for (what, times) in [(ours, hosts), (theirs, flags)] {
            let longest = times.iter().copied().fold(0.0, f64::max);
            latency.row(&[what.to_owned(), duration(quartiles(times)[1]), duration(longest)]);
        }
    }
    let wakes = bench.table("What people write today: 8 idle services, wake-ups without work", "what | a second");
    if bench.wants("today: idle wake-ups") {
        let (hosted, napping) = (Hosted::start(), Napping::start());
        thread::sleep(NAP * 2);
        let (begin, before) = (Instant::now(), ["hosted-", "napping-"].map(woken));
        thread::sleep(Duration::from_secs(3));
        let (seconds, after) = (begin.elapsed().as_secs_f64(), ["hosted-", "napping-"].map(woken));
        for (i, what) in [ours, theirs].into_iter().enumerate() {
            wakes.row(&[what.to_owned(), format!("{:.1}", (after[i] - before[i]) as f64 / seconds)]);
        }
        drop(hosted);
        napping.stop();
    }
}

fn timed<T>(running: T, moment: Duration, stop: impl FnOnce(T)) -> f64 {
    thread::sleep(moment);
    let begin = Instant::now();
    stop(running);
    begin.elapsed().as_nanos() as f64
}

struct Hosted(Host);

impl Hosted {
    fn start() -> Self {
        let mut host = Host::new();
        for number in 0..SERVICES {
            let sleep = worker(|ctx| {
                loop {
                    ctx.sleep(Duration::from_secs(3600))?;
                }
            });
            host.add(format!("hosted-{number}"), sleep).after::<&str>([]);
        }
        host.start().unwrap();
        Hosted(host)
    }
}

struct Napping(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Napping {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let spawn = |number| {
            let stop = stop.clone();
            let nap = move || {
                while !stop.load(Ordering::Relaxed) {
                    thread::sleep(NAP);
                }
            };
            thread::Builder::new().name(format!("napping-{number}")).spawn(nap).unwrap()
        };
        let threads = (0..SERVICES).map(spawn).collect();
        Napping(stop, threads)
    }

    fn stop(self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Returns how often the threads whose names begin with `prefix` have gone to sleep, from `/proc`. Each of them was
/// woken as often.
fn woken(prefix: &str) -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    let field = |status: &str, name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_owned()
    };
    let ours = statuses.filter(|status| field(status, "Name:").starts_with(prefix));
    ours.filter_map(|status| field(&status, "voluntary_ctxt_switches:").parse::<u64>().ok()).sum()
}
