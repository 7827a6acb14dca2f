//! The thread behind `request_stop_after`.

#![cfg(target_os = "linux")] // only /proc lists threads

use crate::support::alone;
use hosted::{StopSource, StopToken};
use std::fs;
use std::time::Duration;

/// The number of threads in this process.
fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Waits, registers and links: creates everything that a stop or the drop of a source must undo.
fn used() -> (StopSource, StopToken) {
    let source = StopSource::new();
    let token = source.token();
    assert!(!token.wait_timeout(Duration::ZERO) && token.done().try_recv().is_err());
    drop((token.on_stop(|| ()), StopSource::linked([&token])));
    (source, token)
}

#[test]
fn only_the_first_timer_starts_the_timer_thread() {
    alone!();
    let before = threads();
    let (stopped, token) = used();
    assert!(stopped.request_stop());
    drop((stopped, token));
    let (source, token) = used();
    drop(source.clone());
    drop(source); // the last source; its token still exists
    drop(token);
    assert_eq!(threads(), before, "no timer was set");

    StopSource::new().request_stop_after(Duration::MAX);
    assert_eq!(threads(), before + 1);
}
