//! The threads of `on_stop_repeating`: none before the stop, none after the drop.

#![cfg(target_os = "linux")]

use crate::support::{LIMIT, alone, task_named};
use hosted::StopSource;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use std::{fs, thread};

#[test]
fn a_repeating_callback_has_a_thread_only_from_the_stop_until_the_drop() {
    alone!();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    for _ in 0..100 {
        let (source, (called, calls)) = (StopSource::new(), channel());
        let guard = source.token().on_stop_repeating(Duration::from_millis(1), move || called.send(()).unwrap());
        assert_eq!(threads(), before, "before the stop there is no thread");
        source.request_stop();
        calls.recv_timeout(LIMIT).unwrap();
        assert!(task_named("hosted-on-stop").is_some());
        drop(guard);
        // The kernel lists a thread for a moment after it was joined.
        let limit = Instant::now() + LIMIT;
        while threads() > before {
            assert!(Instant::now() < limit, "the thread still exists");
            thread::yield_now();
        }
    }
}
