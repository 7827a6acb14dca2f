//! Two processes work on 5,000 jobs of 10 ms, and five times one of them is killed with `kill -9`.

use crate::latency;
use crate::raw;
use crate::setup::{CHILD, Work, folder, quantile, store};
use hosted::Host;
use hosted_jobs::{Enqueue, Handlers, JobContext};
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const JOBS: u64 = 5_000;
const KILLS: u64 = 5;
const THREADS: usize = 4;
const FOLDER: &str = "JOBS_BENCH_FOLDER";

fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()
}

/// What a child does, by its variable.
pub(crate) fn child() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    match std::env::var(CHILD).as_deref() {
        Ok("enqueue") => latency::enqueue(&folder),
        _ => work(&folder),
    }
}

fn work(folder: &Path) {
    let jobs = store(folder, true);
    let log = OpenOptions::new().create(true).append(true).open(folder.join(format!("log.{}", std::process::id())));
    let log = log.unwrap();
    let handlers = Handlers::new().handle(move |job: Work, ctx: &JobContext| {
        (&log).write_all(format!("start {} {}\n", job.n, now()).as_bytes())?;
        ctx.sleep(Duration::from_millis(10))?;
        (&log).write_all(format!("end {} {}\n", job.n, now()).as_bytes())?;
        Ok(())
    });
    let mut host = Host::new();
    host.add("jobs", jobs.workers(THREADS, handlers));
    host.run().unwrap();
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap()).env(CHILD, "work").env(FOLDER, folder).spawn().unwrap()
}

/// The runs of each job: their starts, in order of time, and how many ended.
fn runs(folder: &Path) -> HashMap<u64, (Vec<u128>, u64)> {
    let mut runs: HashMap<u64, (Vec<u128>, u64)> = HashMap::new();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("log.")) {
        for line in fs::read_to_string(file).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let run = runs.entry(words[1].parse().unwrap()).or_default();
            match words[0] {
                "start" => run.0.push(words[2].parse().unwrap()),
                _ => run.1 += 1,
            }
        }
    }
    runs.values_mut().for_each(|(starts, _)| starts.sort_unstable());
    runs
}

pub(crate) fn run(real: bool) {
    let folder = folder(real);
    let jobs = store(folder.path(), true);
    jobs.enqueue_all((0..JOBS).map(|n| Enqueue::new(&Work::new(n)))).unwrap();
    let mut children = [start(folder.path()), start(folder.path())];
    let (mut killed, mut held) = (Vec::new(), 0);
    let db = raw::connect(folder.path(), true);
    for kill in 0..KILLS {
        while (runs(folder.path()).len() as u64) < (kill + 1) * 800 {
            std::thread::sleep(Duration::from_millis(20));
        }
        let victim = &mut children[(kill % 2) as usize];
        let pid = victim.id();
        victim.kill().unwrap();
        victim.wait().unwrap();
        killed.push(now());
        // What the dead process held: jobs that ran, and those whose results were not committed yet.
        let sql = "SELECT count(*) FROM hosted_job WHERE state = 2 AND worker IN (SELECT id FROM hosted_worker WHERE pid = ?1)";
        held += db.query_row(sql, [pid], |row| row.get::<_, i64>(0)).unwrap();
        *victim = start(folder.path());
    }
    while jobs.stats().unwrap().succeeded + jobs.stats().unwrap().dead < JOBS {
        std::thread::sleep(Duration::from_millis(20));
    }
    for mut child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (runs, stats) = (runs(folder.path()), jobs.stats().unwrap());
    let repeated: usize = runs.values().map(|(starts, _)| starts.len() - 1).sum();
    // Each repeated run follows a kill. The next start of one of the killed jobs ends its wait.
    let again: Vec<u128> = runs.values().flat_map(|(starts, _)| starts.iter().skip(1).copied()).collect();
    let mut waits: Vec<f64> = killed
        .iter()
        .filter_map(|kill| again.iter().filter(|start| *start > kill).min().map(|start| (start - kill) as f64 / 1e3))
        .collect();
    println!(
        "{KILLS} kills in {JOBS} jobs: missing {}, dead {}, runs repeated {repeated}; the dead processes held {held} jobs",
        JOBS - runs.len() as u64,
        stats.dead
    );
    println!(
        "from a kill to the next run of a job that it had interrupted: median {:.0} ms, most {:.0} ms",
        quantile(&mut waits, 0.5),
        quantile(&mut waits, 1.0)
    );
}
