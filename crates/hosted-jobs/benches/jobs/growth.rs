//! What grows with the number of jobs, and what must not.

use crate::raw;
use crate::setup::{Work, builder, folder, median, store};
use hosted::Host;
use hosted_jobs::{Handlers, JobContext, Jobs};
use std::path::Path;
use std::time::{Duration, Instant};

const FEW: u64 = 1_000;
const MANY: u64 = 1_000_000;

/// Jobs that are in nobody's way, by kind of row: the columns that differ.
const BYSTANDERS: [(&str, &str); 4] = [
    ("finished", ""),
    ("scheduled", "'default', 'work', 0, 9000000000000 + n, NULL, NULL"),
    ("held", "'default', 'work', 3, 0, 'key' || (n % 1000), 1"),
    ("of a kind that nobody handles here", "'default', 'foreign', 1, 0, NULL, NULL"),
];

fn fill(folder: &Path, which: usize, number: u64) {
    let db = raw::connect(folder, false);
    let numbers = format!("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {number})");
    let sql = match BYSTANDERS[which].1 {
        "" => format!(
            "{numbers} INSERT INTO hosted_done(id, queue, kind, version, priority, outcome, created_at, finished_at, claim, \
             failed, lost, max_failed, missed) SELECT n + 1000000000, 'default', 'work', 1, 0, 0, 0, 9000000000000, 1, 0, 0, \
             20, 0 FROM c"
        ),
        columns => format!(
            "{numbers} INSERT INTO hosted_job(queue, kind, state, run_at, limit_key, limit_n, priority, payload) \
             SELECT {columns}, -1, zeroblob(200) FROM c"
        ),
    };
    db.execute_batch(&sql).unwrap();
}

fn handlers() -> Handlers {
    Handlers::new().handle(|job: Work, _: &JobContext| {
        std::hint::black_box(job);
        Ok(())
    })
}

/// Microseconds to enqueue, claim, run and complete a job, one at a time: the median of many.
fn cost(jobs: &Jobs) -> f64 {
    let handlers = handlers();
    jobs.drain(&handlers).unwrap();
    let mut times: Vec<f64> = (0..60)
        .map(|n| {
            jobs.enqueue(&Work::new(n)).unwrap();
            let began = Instant::now();
            assert_eq!(jobs.drain(&handlers).unwrap().succeeded(), 1);
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    median(&mut times)
}

pub(crate) fn run(real: bool) {
    println!("a drain of one job, NORMAL, beside other jobs (their priority is better)");
    println!("{:<40} {:>12} {:>12} {:>9}", "", "beside 10³", "beside 10⁶", "quotient");
    for (which, (name, _)) in BYSTANDERS.iter().enumerate() {
        let folders = [folder(real), folder(real)];
        let stores: Vec<Jobs> = folders.iter().map(|folder| store(folder.path(), false)).collect();
        fill(folders[0].path(), which, FEW);
        fill(folders[1].path(), which, MANY);
        let (mut few, mut many) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            few.push(cost(&stores[0]));
            many.push(cost(&stores[1]));
        }
        let (few, many) = (median(&mut few), median(&mut many));
        println!("{name:<40} {few:>9.0} µs {many:>9.0} µs {:>9.2}", many / few);
        let began = Instant::now();
        stores[1].stats().unwrap();
        println!("  `stats` beside them: {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
    }
    prune(real);
}

/// The longest time for which deleting old jobs holds the write lock.
fn prune(real: bool) {
    let folder = folder(real);
    let jobs = builder(true).keep_succeeded(Duration::ZERO).open(folder.path().join("jobs.db")).unwrap();
    fill(folder.path(), 0, 200_000);
    raw::connect(folder.path(), false).execute_batch("UPDATE hosted_done SET finished_at = 0").unwrap();
    let db = raw::connect(folder.path(), false);
    let mut longest = Duration::ZERO;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let pruning = scope.spawn(|| jobs.prune().unwrap());
        while !pruning.is_finished() {
            let wants = Instant::now();
            db.busy_timeout(Duration::ZERO).unwrap();
            while db.execute_batch("BEGIN IMMEDIATE; COMMIT").is_err() {
                std::thread::sleep(Duration::from_micros(100));
            }
            longest = longest.max(wants.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        let number = pruning.join().unwrap();
        let (total, wait) = (began.elapsed().as_secs_f64(), longest.as_secs_f64() * 1e3);
        println!("pruning {number} jobs took {total:.2} s; another writer waited {wait:.1} ms at most");
    });
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The memory of a process that works on a million jobs.
pub(crate) fn memory(real: bool) {
    let folder = folder(real);
    let before = resident_kib();
    let jobs = store(folder.path(), false);
    let mut host = Host::new();
    host.add("jobs", jobs.workers(4, handlers()));
    jobs.pause("default").unwrap();
    {
        let db = raw::connect(folder.path(), false);
        let numbers = format!("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {MANY})");
        let payload = r#"'{"n":1,"text":"' || hex(zeroblob(90)) || '"}'"#;
        let insert = format!("INSERT INTO hosted_job(kind, payload) SELECT 'work', CAST({payload} AS BLOB) FROM c");
        db.execute_batch(&format!("PRAGMA cache_size = -2000; {numbers} {insert}")).unwrap();
    }
    host.start().unwrap();
    jobs.resume("default").unwrap();
    std::thread::sleep(Duration::from_secs(2));
    let stats = jobs.stats().unwrap();
    let (ready, grown) = (stats.queues[0].ready, resident_kib() - before);
    host.stop(Duration::from_secs(10)).unwrap();
    println!(
        "a process with 4 workers and a backlog of {ready} jobs uses {:.1} MiB more than before",
        grown as f64 / 1024.0
    );
}
