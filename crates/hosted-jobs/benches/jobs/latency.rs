//! From the commit to the start of the handler, with idle workers.

use crate::setup::{CHILD, builder, folder, quantile, store};
use hosted::Host;
use hosted_jobs::{Handlers, Job, JobContext, Jobs};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const JOBS: usize = 300;

#[derive(Serialize, Deserialize)]
struct Now {}

impl Job for Now {
    const KIND: &'static str = "now";
}

/// Milliseconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1e3
}

fn pause(n: usize) {
    std::thread::sleep(Duration::from_millis(8 + n as u64 * 7 % 20));
}

/// A host that sends the id and the start of each job.
fn workers(jobs: &Jobs) -> (Host, Receiver<(i64, f64)>) {
    let (sender, started) = channel();
    let mut host = Host::new();
    let handlers = Handlers::new().handle(move |_: Now, ctx: &JobContext| {
        let _ = sender.send((ctx.id(), now()));
        Ok(())
    });
    host.add("jobs", jobs.workers(1, handlers));
    host.start().unwrap();
    (host, started)
}

fn print(what: &str, mut times: Vec<f64>) {
    let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
    println!("{what:<50} p50 {p50:.2} ms, p99 {p99:.2} ms, most {:.2} ms", quantile(&mut times, 1.0));
}

pub(crate) fn run(real: bool) {
    println!("from the return of `enqueue` (the commit) to the start of the handler, FULL, {JOBS} jobs");
    for (what, in_process) in [("in the same process", true), ("from another process", false)] {
        let folder = folder(real);
        let jobs = store(folder.path(), true);
        let (mut host, started) = workers(&jobs);
        let committed = if in_process { commit_here(&jobs) } else { commit_elsewhere(folder.path()) };
        let mut times = Vec::new();
        for _ in 0..JOBS {
            let (id, at) = started.recv_timeout(Duration::from_secs(60)).unwrap();
            times.push((at - committed[&id]).max(0.0));
        }
        host.stop(Duration::from_secs(10)).unwrap();
        print(what, times);
    }
}

fn commit_here(jobs: &Jobs) -> HashMap<i64, f64> {
    (0..JOBS)
        .map(|n| {
            pause(n);
            (jobs.enqueue(&Now {}).unwrap().id(), now())
        })
        .collect()
}

fn commit_elsewhere(folder: &Path) -> HashMap<i64, f64> {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.env(CHILD, "enqueue").env("JOBS_BENCH_FOLDER", folder).stdout(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let committed = lines
        .map(|line| {
            let line = line.unwrap();
            let (id, at) = line.split_once(' ').unwrap();
            (id.parse().unwrap(), at.parse().unwrap())
        })
        .collect();
    child.wait().unwrap();
    committed
}

/// In the child: stores jobs, and prints the id of each and the time of its commit.
pub(crate) fn enqueue(folder: &Path) {
    let jobs = builder(true).open(folder.join("jobs.db")).unwrap();
    for n in 0..JOBS {
        pause(n);
        let id = jobs.enqueue(&Now {}).unwrap().id();
        println!("{id} {}", now());
    }
}
