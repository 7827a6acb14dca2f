//! The cost of a running host: queues, events, snapshots, ticks.

mod harness;

use crossbeam_channel::{Receiver, bounded};
use harness::fleet::{idle, wait};
use harness::table::{duration, quartiles};
use harness::{Bench, Contender, each, sampled};
use hosted::{BoxError, Context, Host, Queue, StopSource, group, worker};
use parking_lot::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const ROOM: usize = 1_000;
/// The last job, after which the sender learns that all jobs are done.
const LAST: u64 = u64::MAX;

fn main() {
    let bench = Bench::from_args();
    queues(&bench);
    events(&bench);
    snapshots(&bench);
    ticks(&bench);
}

fn queues(bench: &Bench) {
    let table = bench.comparison("A queue beside crossbeam's bounded channel, per job");
    table.compare("queue: push 100 and drain, one thread", None, || {
        let (queue, (sender, receiver)) = (Queue::bounded(ROOM), bounded(ROOM));
        let ours = move || {
            (0..100_u64).for_each(|job| queue.try_push(job).unwrap());
            queue.drain()
        };
        let bare = move || {
            (0..100_u64).for_each(|job| sender.try_send(job).unwrap());
            receiver.try_iter().collect::<Vec<_>>()
        };
        vec![each("", ours).per(100), each("channel", bare).per(100)]
    });
    table
        .compare("queue: 20,000 jobs from one thread to another", None, || vec![consumer_service(), consumer_thread()]);
}

fn consumer_service() -> Contender<'static> {
    let (queue, (done, all)) = (Queue::bounded(ROOM), bounded(1));
    let mut host = Host::new();
    let handle = move |job, _: &Context| match job {
        LAST => Ok(done.send(())?),
        _ => Ok(()),
    };
    host.add("consumer", queue.consumer(handle));
    host.start().unwrap();
    handing_out("", all, move |job| {
        let _running = &host;
        queue.push(job).unwrap();
    })
}

fn consumer_thread() -> Contender<'static> {
    let ((sender, receiver), (done, all)) = (bounded(ROOM), bounded(1));
    thread::spawn(move || receiver.iter().filter(|job| *job == LAST).for_each(|_| done.send(()).unwrap()));
    handing_out("a thread and a channel", all, move |job| sender.send(job).unwrap())
}

/// Pushes many jobs at once: how the first job wakes the consumer is another matter.
fn handing_out(what: &str, all: Receiver<()>, push: impl Fn(u64) + 'static) -> Contender<'static> {
    const JOBS: usize = 20_000;
    let hand_out = move || {
        (1..JOBS as u64).for_each(&push);
        push(LAST);
        all.recv().unwrap();
    };
    each(what, hand_out).per(JOBS)
}

fn events(bench: &Bench) {
    let table = bench.comparison("An event, by `ctx.report_error(\"x\")`, without a logger");
    table.compare("event, nobody listens", None, || {
        let text: Mutex<Option<String>> = Mutex::new(None);
        let least = move || {
            let error: BoxError = "x".into();
            *text.lock() = Some(error.to_string());
        };
        vec![reporting("", None), each("a boxed error, its text kept under a lock", least)]
    });
    table.compare("event, one listener", None, || {
        let listener = reporting("", Some(Listener::Reads));
        vec![listener, reporting("nobody listens", None)]
    });
    table.compare("event, one listener that never reads", None, || {
        let listener = reporting("", Some(Listener::NeverReads));
        vec![listener, reporting("nobody listens", None)]
    });
}

#[derive(Clone, Copy, PartialEq)]
enum Listener {
    Reads,
    NeverReads,
}

/// A listener reads only after half of its capacity is used, so that reading is not measured.
fn reporting(what: &str, listener: Option<Listener>) -> Contender<'static> {
    let (sender, receiver) = bounded(1);
    let mut host = Host::new();
    host.add(
        "reporter",
        worker(move |ctx| {
            sender.send(ctx.clone())?;
            wait(ctx)
        }),
    );
    host.start().unwrap();
    let ctx = receiver.recv().unwrap();
    let events = listener.map(|listener| (listener, host.events()));
    sampled(what, move |n| {
        let _running = &host;
        let mut took = Duration::ZERO;
        for begun in (0..n).step_by(512) {
            let begin = Instant::now();
            (begun..n.min(begun + 512)).for_each(|_| ctx.report_error("x"));
            took += begin.elapsed();
            if let Some((Listener::Reads, events)) = &events {
                events.try_iter().for_each(drop);
            }
        }
        took
    })
}

fn snapshots(bench: &Bench) {
    let table = bench.comparison("A snapshot of all services, per service");
    table.compare("snapshot of 1,000", None, || {
        let statuses = idle(1_000).handle().services();
        vec![snapshot(1_000), each("a clone of its result", move || statuses.clone()).per(1_000)]
    });
    let table = bench.growth("How that grows");
    table.grow("snapshot, per service", None, &[100, 1_000, 10_000], snapshot);
    table.grow("snapshot, per group of one service", None, &[10, 100, 1_000], snapshot_of_groups);
}

fn snapshot(services: usize) -> Contender<'static> {
    let host = idle(services);
    each("", move || host.handle().services()).per(services)
}

fn snapshot_of_groups(groups: usize) -> Contender<'static> {
    let mut host = Host::new();
    for n in 0..groups {
        let fill = |group: &mut Host| {
            group.add("child", worker(wait));
            Ok(())
        };
        host.add(format!("g{n}"), group(fill)).after::<&str>([]);
    }
    host.start().unwrap();
    each("", move || host.handle().services()).per(groups)
}

const MINUTE: Duration = Duration::from_secs(60);

/// Runs all four at once, so that they see the same minute.
fn ticks(bench: &Bench) {
    let columns = "every | by | ticks | median | 99 % | latest | missed";
    let table =
        bench.table("A minute of ticks at 1 kHz and at 10 Hz at once: how late they are on an ideal grid", columns);
    if !bench.wants("ticks, a minute of them") {
        return;
    }
    let periods = [1, 100].map(Duration::from_millis);
    let (grid, sleeping) = ("`ctx.ticks`", "`thread::sleep` until the grid");
    let start = |period| {
        [
            (period, grid, thread::spawn(move || hosted_ticks(period))),
            (period, sleeping, thread::spawn(move || sleeps(period))),
        ]
    };
    for (period, by, thread) in periods.map(start).into_iter().flatten() {
        let (late, missed) = thread.join().unwrap();
        let mut row = vec![format!("{period:?}"), by.to_owned(), late.len().to_string()];
        row.extend(spread(late));
        row.push(missed.to_string());
        table.row(&row);
    }
}

fn spread(mut late: Vec<f64>) -> [String; 3] {
    let median = quartiles(late.clone())[1];
    late.sort_by(f64::total_cmp);
    [median, late[(late.len() - 1) * 99 / 100], late[late.len() - 1]].map(duration)
}

/// How late each tick came, and how many ticks were merged with a later one. The lateness counts from the first due
/// tick, and the grid starts at the first tick, so neither a long pause nor a drift can hide.
fn hosted_ticks(period: Duration) -> (Vec<f64>, u64) {
    let stop = StopSource::new();
    let mut ticks = Context::new("ticks", stop.token()).ticks(period);
    let first = ticks.next().unwrap().scheduled;
    let (mut late, mut all, mut missed) = (Vec::new(), 0, 0);
    while first.elapsed() < MINUTE {
        let tick = ticks.next().unwrap();
        late.push((first + period * (all + 1)).elapsed().as_nanos() as f64);
        all += 1 + tick.missed;
        missed += u64::from(tick.missed);
    }
    (late, missed)
}

fn sleeps(period: Duration) -> (Vec<f64>, u64) {
    let first = Instant::now();
    let (mut late, mut all, mut missed) = (Vec::new(), 0, 0);
    while first.elapsed() < MINUTE {
        let due = first + period * (all + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let behind = due.elapsed();
        late.push(behind.as_nanos() as f64);
        let skipped = (behind.as_nanos() / period.as_nanos()) as u32;
        all += 1 + skipped;
        missed += u64::from(skipped);
    }
    (late, missed)
}
