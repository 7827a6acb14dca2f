//! What jobs leave behind while they run. The files survive the death of every process.
//!
//! - `log.PID`: a line for each start and end of a run, written in one call.
//! - `run.N`: locked while job `N` runs. If two runs of one job overlap, the second cannot lock it.
//! - `place.N`: locked while a job of the limit key runs. If more jobs run than the limit allows, no place is free.
//! - `violation.PID`: what must never happen.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) struct Witness {
    pub(crate) folder: PathBuf,
}

/// A line of a log.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) n: i64,
    /// The number of the claim, or what the line is about.
    pub(crate) more: i64,
    /// Microseconds since 1970.
    pub(crate) at: u128,
}

impl Witness {
    pub(crate) fn new(folder: &Path) -> Self {
        Witness { folder: folder.to_owned() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn log(&self, what: &str, n: i64, more: i64) {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
        self.append("log", &format!("{what} {n} {more} {at}\n"));
    }

    pub(crate) fn violation(&self, text: &str) {
        self.append("violation", &format!("{text}\n"));
    }

    fn append(&self, name: &str, text: &str) {
        let path = self.path(&format!("{name}.{}", std::process::id()));
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Marks the run of job `n`. Dropping the file, or the death of the process, ends the mark.
    pub(crate) fn start(&self, n: i64, claim: i64) -> Option<File> {
        let mark = self.lock(&format!("run.{n}"));
        if mark.is_none() {
            self.violation(&format!("two runs of job {n} overlap"));
        }
        self.log("start", n, claim);
        mark
    }

    /// Takes one of the places of a limit.
    pub(crate) fn take_place(&self, places: u32) -> Option<File> {
        let place = (0..places).find_map(|n| self.lock(&format!("place.{n}")));
        if place.is_none() {
            self.violation(&format!("more than {places} jobs of one key run"));
        }
        place
    }

    fn lock(&self, name: &str) -> Option<File> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(self.path(name)).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file)
    }

    /// All lines of all processes, by time.
    pub(crate) fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for text in self.texts("log.") {
            for line in text.lines() {
                let words: Vec<&str> = line.split(' ').collect();
                let [what, n, more, at] = words[..] else { panic!("cut line: {line}") };
                lines.push(Line {
                    what: what.to_owned(),
                    n: n.parse().unwrap(),
                    more: more.parse().unwrap(),
                    at: at.parse().unwrap(),
                });
            }
        }
        lines.sort_by_key(|line| line.at);
        lines
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.lines().iter().filter(|line| line.what == what).count()
    }

    pub(crate) fn assert_no_violation(&self) {
        let violations = self.texts("violation.");
        assert!(violations.is_empty(), "{violations:?}");
    }

    fn texts(&self, prefix: &str) -> Vec<String> {
        let files = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap());
        let chosen = files.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        chosen.map(|entry| fs::read_to_string(entry.path()).unwrap()).collect()
    }
}
