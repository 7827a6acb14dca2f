//! What a process holds: threads, descriptors and bytes.

use super::heap;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// What the process holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Threads, without those of the callback pool: an idle one exits only after a second.
    pub threads: usize,
    pub descriptors: usize,
    pub bytes: i64,
}

impl Held {
    pub fn now() -> Self {
        let entries = |dir| fs::read_dir(dir).map_or(0, Iterator::count);
        let threads = entries("/proc/self/task").saturating_sub(callback_threads());
        Held { threads, descriptors: entries("/proc/self/fd"), bytes: heap::bytes() }
    }

    /// Waits until two observations agree, so that threads about to exit are gone.
    pub fn when_still() -> Self {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let before = Held::now();
            thread::sleep(Duration::from_millis(20));
            if before == Held::now() {
                return before;
            }
            assert!(Instant::now() < limit, "the process does not come to rest: {before:?}");
        }
    }

    /// Waits until the process holds no more threads and descriptors than `self`. The kernel removes a thread a moment
    /// after it was joined.
    pub fn wait_until_gone(self, when: &str) -> Self {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let now = Held::now();
            if now.threads <= self.threads && now.descriptors <= self.descriptors {
                return now;
            }
            assert!(Instant::now() < limit, "threads or descriptors are left {when}: {now:?}, before {self:?}");
            thread::sleep(Duration::from_micros(50));
        }
    }
}

/// Waits until the callback pool has no thread.
pub fn callback_threads_end() {
    let limit = Instant::now() + Duration::from_secs(60);
    while callback_threads() > 0 {
        assert!(Instant::now() < limit, "{} idle callback threads do not exit", callback_threads());
        thread::sleep(Duration::from_millis(20));
    }
}

fn callback_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim_end() == "hosted-callback").count()
}
