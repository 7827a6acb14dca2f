//! Parses `/proc/…/stat`: what the kernel counts for a thread, and the observations that are made from it.

use std::fs;
use std::time::Instant;

/// What a thread has used since it started.
pub(super) struct ThreadUsage {
    /// How often the thread has gone to sleep.
    pub(super) sleeps: u64,
    /// The CPU time that the thread has used, in milliseconds.
    pub(super) cpu: u64,
}

/// An observation of a thread: either in one sleep, or running between two sleeps.
#[derive(Clone, Copy)]
pub(super) struct Observation {
    pub(super) at: Instant,
    pub(super) running: bool,
    /// How often the thread had gone to sleep. If two observations agree in this number, the thread was in the same sleep,
    /// or ran without a sleep in between.
    pub(super) sleeps: u64,
    /// The CPU time that the thread had used, in milliseconds.
    pub(super) cpu: u64,
}

/// One sleep of a thread: the call, and how often the thread had gone to sleep. Equal values are the same sleep.
#[derive(Clone, PartialEq)]
#[cfg_attr(not(feature = "disconnect"), allow(dead_code, reason = "only the forced disconnect compares sleeps"))]
pub(super) struct Sleep {
    pub(super) call: String,
    pub(super) number: u64,
}

/// The fields of a thread's `stat` that this library uses.
pub(super) struct Stat {
    /// When the thread was started, in clock ticks since the machine was booted.
    pub(super) start_time: u64,
    /// The CPU time that the thread has used, in milliseconds.
    pub(super) cpu: u64,
}

/// The number of the field `starttime` in `man 5 proc`.
const START_TIME: usize = 22;

impl Stat {
    /// Parses a line of `/proc/…/stat`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let number = |number| field(line, number)?.parse::<u64>().ok();
        // A clock tick in `/proc` is always 10 ms, even if the kernel's own tick is shorter.
        let cpu = number(14)?.saturating_add(number(15)?).saturating_mul(10);
        Some(Stat { start_time: number(START_TIME)?, cpu })
    }
}

/// Returns the ID of the calling thread. The link is read in a tenth of the time that `stat` takes, and every thread of a service
/// does this.
pub(super) fn current_thread() -> Option<u32> {
    let link = fs::read_link("/proc/thread-self").ok()?; // `<process>/task/<thread>`
    link.file_name()?.to_str()?.parse().ok()
}

/// Converts the contents of a `/proc` file to text. The names of threads, files and sockets may contain any bytes.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Returns a field of a thread's `stat` by its number in `man 5 proc`, from number 3 on. Field 2, the name in parentheses,
/// may contain spaces and parentheses, so the fields are counted from its last parenthesis.
pub(super) fn field(line: &str, number: usize) -> Option<&str> {
    line[line.rfind(')')? + 1..].split_ascii_whitespace().nth(number - 3)
}
