//! Running jobs that do nothing: the cost of claims and completions.

use crate::raw::Worker;
use crate::setup::{ROUNDS, WINDOW, Work, compare, folder, median, print_head, store};
use hosted::Host;
use hosted_jobs::{Enqueue, Handlers, JobContext, Jobs};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const BATCH: u64 = 10;

fn fill(jobs: &Jobs, number: u64) {
    for start in (0..number).step_by(1_000) {
        jobs.enqueue_all((start..start + 1_000).map(|n| Enqueue::new(&Work::new(n)))).unwrap();
    }
}

fn live(jobs: &Jobs) -> u64 {
    jobs.stats().unwrap().queue("default").map_or(0, |queue| queue.ready + queue.running)
}

/// The jobs that workers of the library run in a second, from a backlog. They are counted by their committed ends.
fn ours(jobs: &Jobs) -> f64 {
    top_up(jobs);
    let handlers = Handlers::new().handle(|job: Work, _: &JobContext| {
        std::hint::black_box(job);
        Ok(())
    });
    let mut host = Host::new();
    host.add("jobs", jobs.workers(WORKERS, handlers));
    host.start().unwrap();
    std::thread::sleep(WINDOW / 4); // the workers learn how long a job takes
    let (before, began) = (live(jobs), Instant::now());
    std::thread::sleep(WINDOW);
    let (left, took) = (live(jobs), began.elapsed());
    host.stop(Duration::from_secs(10)).unwrap();
    assert!(left > 0, "the backlog was too small");
    (before - left) as f64 / took.as_secs_f64()
}

fn top_up(jobs: &Jobs) {
    const BACKLOG: u64 = 100_000;
    fill(jobs, BACKLOG.saturating_sub(live(jobs)));
}

fn by_hand(
    jobs: &Jobs,
    folder: &Path,
    full: bool,
    workers: usize,
    step: fn(&mut Worker, u64) -> u64,
    batch: u64,
) -> f64 {
    top_up(jobs);
    let (done, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for id in 0..workers {
            let done = &done;
            scope.spawn(move || {
                let mut worker = Worker::new(folder, full, id as i64 + 1);
                while began.elapsed() < WINDOW {
                    done.fetch_add(step(&mut worker, batch), Ordering::Relaxed);
                }
                worker.finish();
            });
        }
    });
    done.into_inner() as f64 / began.elapsed().as_secs_f64()
}

pub(crate) fn run(real: bool) {
    print_head("hosted-jobs", "by hand");
    for full in [true, false] {
        let mode = if full { "FULL" } else { "NORMAL" };
        let folders = [folder(real), folder(real)];
        let (jobs, other) = (store(folders[0].path(), full), store(folders[1].path(), full));
        compare(
            &format!("{mode}, 4 workers; by hand: 4 connections, {BATCH} jobs in a claim"),
            &mut || ours(&jobs),
            &mut || by_hand(&other, folders[1].path(), full, WORKERS, Worker::step, BATCH),
        );
        compare(
            &format!("{mode}, 4 workers; by hand: one thread, 100 jobs, done and claim fused"),
            &mut || ours(&jobs),
            &mut || by_hand(&other, folders[1].path(), full, 1, Worker::fused_step, 100),
        );
    }
    let folder = folder(real);
    let jobs = store(folder.path(), true);
    let mut rates: Vec<f64> = (0..ROUNDS).map(|_| by_hand(&jobs, folder.path(), true, 1, Worker::step, 1)).collect();
    println!("FULL, one thread by hand, one job in a claim: {:.0}/s", median(&mut rates));
}
