//! The disk, the folder, medians, and the load of the machine.

use hosted_jobs::{Builder, Job, Jobs, Synchronous};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub(crate) type Part = (&'static str, fn(bool));

const SIMULATED: &str = "JOBS_BENCH_SIMULATED";
pub(crate) const CHILD: &str = "JOBS_BENCH_CHILD";

/// The rounds of a comparison, and the time of each of its sides in a round.
pub(crate) const ROUNDS: usize = 7;
pub(crate) const WINDOW: Duration = Duration::from_millis(400);

/// A job whose payload has about 200 bytes.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) n: u64,
    pub(crate) text: String,
}

impl Work {
    pub(crate) fn new(n: u64) -> Self {
        Work { n, text: "x".repeat(170) }
    }
}

impl Job for Work {
    const KIND: &'static str = "work";
}

pub(crate) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Starts this program again with the simulated disk. Returns `false` in the program that has it.
pub(crate) fn restart_with_simulated_disk() -> bool {
    if std::env::var_os(SIMULATED).is_some() {
        return false;
    }
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disk.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/jobs/disk.c");
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).status();
    assert!(compiled.expect("a C compiler").success());
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(std::env::args().skip(1)).env("LD_PRELOAD", &library).env(SIMULATED, "1");
    let status = again.status().unwrap();
    std::process::exit(status.code().unwrap_or(1));
}

pub(crate) fn folder(real: bool) -> tempfile::TempDir {
    let parent = if real { PathBuf::from(env!("CARGO_TARGET_TMPDIR")) } else { PathBuf::from("/dev/shm") };
    tempfile::tempdir_in(parent).unwrap()
}

pub(crate) fn store(folder: &Path, full: bool) -> Jobs {
    builder(full).open(folder.join("jobs.db")).unwrap()
}

pub(crate) fn builder(full: bool) -> Builder {
    Jobs::builder().synchronous(if full { Synchronous::Full } else { Synchronous::Normal })
}

pub(crate) fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

pub(crate) fn print_machine(real: bool) {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let disk = if real { "the real disk" } else { "simulated: 1 ms for each synchronisation, files in memory" };
    println!("processors {processors}; disk: {disk}; load at the beginning: {}", load());
    let folder = folder(real);
    let file = std::fs::File::create(folder.path().join("file")).unwrap();
    let (began, mut syncs) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(1) {
        std::os::unix::fs::FileExt::write_all_at(&file, &[1; 4096], 0).unwrap();
        file.sync_data().unwrap();
        syncs += 1;
    }
    println!("synchronisations of a 4 KiB write: {syncs} a second");
}

/// How often `step` did something in a window, per second. `step` returns how much it did.
pub(crate) fn rate(mut step: impl FnMut() -> u64) -> f64 {
    let (began, mut done) = (Instant::now(), 0);
    while began.elapsed() < WINDOW {
        done += step();
    }
    done as f64 / began.elapsed().as_secs_f64()
}

pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The value below which the part `part` of the values is.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * part) as usize]
}

/// Runs both sides in turn, and prints both medians and the median of the quotients.
pub(crate) fn compare(what: &str, ours: &mut dyn FnMut() -> f64, raw: &mut dyn FnMut() -> f64) {
    let (mut left, mut right, mut quotients) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (a, b) = (ours(), raw());
        left.push(a);
        right.push(b);
        quotients.push(a / b);
    }
    let (low, high) = (quantile(&mut quotients, 0.0), quantile(&mut quotients, 1.0));
    println!(
        "{what:<66} {:>9.0}/s  {:>9.0}/s  {:>5.2} [{low:.2}..{high:.2}]",
        median(&mut left),
        median(&mut right),
        median(&mut quotients)
    );
}

pub(crate) fn print_head(left: &str, right: &str) {
    println!("{:<66} {left:>11}  {right:>11}  quotient [range]", "");
}
