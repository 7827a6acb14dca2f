//! Prints Markdown tables with the rows that the command line selects.

use super::{Contender, race};
use std::cell::Cell;
use std::process::Command;
use std::{env, fs, thread};

/// The rows of a benchmark that the command line selects.
pub(crate) struct Bench {
    filters: Vec<String>,
}

impl Bench {
    /// Ignores options, such as the `--bench` of `cargo bench`. All other arguments are parts of the names of rows.
    pub(crate) fn from_args() -> Self {
        println!("\n{}", machine());
        Bench { filters: env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect() }
    }

    pub(crate) fn wants(&self, row: &str) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| row.contains(filter.as_str()))
    }

    /// A table whose head is printed before its first row.
    pub(crate) fn table(&self, title: &str, columns: &str) -> Table<'_> {
        let rule = "|---".repeat(columns.matches('|').count() + 1);
        Table { bench: self, head: Cell::new(Some(format!("\n### {title}\n\n| {columns} |\n{rule}|"))) }
    }

    /// A table of operations, each compared with another.
    pub(crate) fn comparison(&self, title: &str) -> Table<'_> {
        self.table(title, "operation | `hosted` | against | that takes | ratio | quartiles | target | verdict")
    }

    /// A table of how the cost of operations grows with the number of things.
    pub(crate) fn growth(&self, title: &str) -> Table<'_> {
        self.table(title, "operation | per item | last : first | quartiles | target | verdict")
    }
}

pub(crate) struct Table<'a> {
    bench: &'a Bench,
    head: Cell<Option<String>>,
}

impl Table<'_> {
    pub(crate) fn row(&self, cells: &[String]) {
        self.head.take().into_iter().for_each(|head| println!("{head}"));
        println!("| {} |", cells.join(" | "));
    }

    /// Compares the first contender of `make` with each of the others. The target is for the first of these.
    pub(crate) fn compare<'c>(&self, name: &str, target: Option<f64>, make: impl FnOnce() -> Vec<Contender<'c>>) {
        if !self.bench.wants(name) {
            return;
        }
        let mut contenders = make();
        let times = race(&mut contenders);
        for (other, target) in (1..times.len()).zip([target].into_iter().chain(std::iter::repeat(None))) {
            let [ours, theirs] = [0, other].map(|i| duration(quartiles(times[i].clone())[1]));
            let [ratio, spread, limit, verdict] = judged(&times[0], &times[other], target);
            let what = contenders[other].what.clone();
            self.row(&[name.to_owned(), ours, what, theirs, ratio, spread, limit, verdict]);
        }
    }

    /// Prints the time per item at each of `sizes`. The target is for the ratio of the last to the first.
    pub(crate) fn grow<'c>(
        &self,
        name: &str,
        target: Option<f64>,
        sizes: &[usize],
        make: impl FnMut(usize) -> Contender<'c>,
    ) {
        if !self.bench.wants(name) {
            return;
        }
        let times = race(&mut sizes.iter().copied().map(make).collect::<Vec<_>>());
        let at = |(size, times): (&usize, &Vec<f64>)| {
            format!("{}: {}", thousands(*size), duration(quartiles(times.clone())[1]))
        };
        let each: Vec<String> = sizes.iter().zip(&times).map(at).collect();
        let [ratio, spread, limit, verdict] = judged(&times[times.len() - 1], &times[0], target);
        self.row(&[name.to_owned(), each.join(", "), ratio, spread, limit, verdict]);
    }
}

fn judged(ours: &[f64], theirs: &[f64], target: Option<f64>) -> [String; 4] {
    let [low, ratio, high] = quartiles(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect());
    let limit = target.map_or("–".to_owned(), |target| format!("≤ {target:.2}"));
    [format!("{ratio:.2}"), format!("{low:.2} – {high:.2}"), limit, verdict(target.map(|target| ratio <= target))]
}

pub(crate) fn verdict(met: Option<bool>) -> String {
    met.map_or("–", |met| if met { "met" } else { "**missed**" }).to_owned()
}

pub(crate) fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

pub(crate) fn duration(nanos: f64) -> String {
    match nanos {
        _ if nanos < 1e3 => format!("{nanos:.1} ns"),
        _ if nanos < 1e6 => format!("{:.1} µs", nanos / 1e3),
        _ if nanos < 1e9 => format!("{:.1} ms", nanos / 1e6),
        _ => format!("{:.2} s", nanos / 1e9),
    }
}

/// Writes 10000 as 10,000.
pub(crate) fn thousands(n: usize) -> String {
    match n {
        0..1_000 => n.to_string(),
        _ => format!("{},{:03}", thousands(n / 1_000), n % 1_000),
    }
}

/// The machine that the numbers are measured on.
fn machine() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(env::consts::ARCH);
    let cores = thread::available_parallelism().map_or(0, |cores| cores.get());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = Command::new("rustc").arg("-V").output().map(|output| output.stdout).unwrap_or_default();
    let (model, rustc) = (model.trim_matches(['\t', ' ', ':']), String::from_utf8_lossy(&rustc));
    format!("{model}, {cores} cores, {} {}, {}", env::consts::OS, kernel.trim(), rustc.trim())
}
