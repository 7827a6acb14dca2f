//! What the kernel counts of a thread, and what is made of that.

use std::fs;
use std::time::Instant;

/// What a thread has done until now.
pub(super) struct ThreadUsage {
    /// How often it has gone to sleep.
    pub(super) sleeps: u64,
    /// For how long it has used a processor, in milliseconds.
    pub(super) cpu: u64,
}

/// That a thread was in a sleep, or in a run from one sleep to the next.
#[derive(Clone, Copy)]
pub(super) struct Observation {
    pub(super) at: Instant,
    pub(super) running: bool,
    /// Which sleep, or after which.
    pub(super) sleeps: u64,
    /// How long it had used a processor, in milliseconds.
    pub(super) cpu: u64,
}

/// The call that a thread is in, and how often it had gone to sleep: equal twice, it is the same sleep.
#[derive(Clone, PartialEq)]
#[cfg_attr(not(feature = "disconnect"), allow(dead_code, reason = "only the forced disconnect compares sleeps"))]
pub(super) struct Sleep {
    pub(super) call: String,
    pub(super) number: u64,
}

/// What `stat` says of a thread.
pub(super) struct Stat {
    /// When it was started, in ticks since the machine was.
    pub(super) born: u64,
    /// For how long it has used a processor, in milliseconds.
    pub(super) cpu: u64,
}

/// When a thread was started: the number of the field in `stat`.
const BORN: usize = 22;

impl Stat {
    /// Reads a line of `/proc/…/stat`.
    pub(super) fn read(line: &str) -> Option<Self> {
        let number = |number| field(line, number)?.parse::<u64>().ok();
        // In `/proc` a tick is 10 ms, whatever the kernel's own is.
        let cpu = number(14)?.saturating_add(number(15)?).saturating_mul(10);
        Some(Stat { born: number(BORN)?, cpu })
    }
}

/// The number of the calling thread, and when it was started. One look: of the thread that has the number now.
pub(super) fn this() -> Option<(u32, u64)> {
    let line = text(fs::read("/proc/thread-self/stat").ok()?);
    Some((line.split_ascii_whitespace().next()?.parse().ok()?, Stat::read(&line)?.born))
}

/// What the kernel writes is text but for names: of threads, files and sockets, which may be any bytes.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// A field of a thread's `stat`, by its number in `man 5 proc`. The second, in parentheses, may have spaces in it.
pub(super) fn field(line: &str, number: usize) -> Option<&str> {
    line[line.rfind(')')? + 1..].split_ascii_whitespace().nth(number - 3)
}
