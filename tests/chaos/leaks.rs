//! What a process holds: threads, descriptors, bytes.

use super::heap;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// What the process holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub threads: usize,
    pub descriptors: usize,
    pub bytes: i64,
}

impl Held {
    pub fn now() -> Self {
        let entries = |dir| fs::read_dir(dir).map_or(0, Iterator::count);
        Held { threads: entries("/proc/self/task"), descriptors: entries("/proc/self/fd"), bytes: heap::bytes() }
    }

    /// What it holds when two looks agree: whoever was about to end has ended.
    pub fn when_still() -> Self {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let before = Held::now();
            thread::sleep(Duration::from_millis(20));
            if before == Held::now() {
                return before;
            }
            assert!(Instant::now() < limit, "it never comes to rest: {before:?}");
        }
    }

    /// Waits until no more threads and descriptors are held than these. The last of a thread comes after whoever
    /// joined it knows.
    pub fn settle(self, when: &str) -> Self {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let now = Held::now();
            if now.threads <= self.threads && now.descriptors <= self.descriptors {
                return now;
            }
            assert!(Instant::now() < limit, "threads or descriptors are left {when}: {now:?}, and had {self:?}");
            thread::sleep(Duration::from_micros(50));
        }
    }
}
