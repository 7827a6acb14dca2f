//! The one pool of a process in which stop callbacks run that must not delay whoever requested the stop.

use super::callback_pool::{Job, NAME, Pool};
use crate::util::log::log_line;
use crate::util::sync::{Arc, OnceLock, thread};
use crate::util::time::deadline;
use log::Level;
use std::time::{Duration, Instant};

/// How often somebody who waits anyway tries again to start a thread, while callbacks wait and none can be created.
const RETRY: Duration = Duration::from_millis(10);

fn pool() -> &'static Arc<Pool> {
    static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(log_panic))
}

/// Runs `job` on a thread of the pool; here and now if no thread can be created: late is better than never.
pub(crate) fn run(job: Job) {
    if let Err(job) = pool().submit(job) {
        job();
    }
}

/// Runs `job` on a thread of the pool, and never here. If no thread can be created, the job waits for [`tend`].
pub(crate) fn run_patiently(job: Job) {
    pool().submit_patiently(job);
}

/// For whoever waits anyway: sees that callbacks that wait have a thread. Returns when to call this again, if no thread can
/// be created now.
pub(crate) fn tend() -> Option<Instant> {
    if pool().tend() { None } else { deadline(RETRY) }
}

/// Calls `f` while the kernel shows the calling thread under `name`, if it is a thread of the pool: so `top -H` and a debugger
/// tell whose callback it is in.
pub(crate) fn named(name: &str, f: impl FnOnce()) {
    // Called inline, by a thread with a name of its own, it keeps that.
    let ours = thread::current().name() == Some(NAME);
    if ours {
        show(name);
    }
    f();
    if ours {
        show(NAME);
    }
}

/// Gives the calling thread's kernel name, of which 15 bytes are kept. Some microseconds; elsewhere than on Linux nothing.
fn show(name: &str) {
    if cfg!(target_os = "linux") {
        let end = (0..=name.len().min(15)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        // A nicety: where it cannot be written, the old name stays.
        _ = std::fs::write("/proc/thread-self/comm", &name[..end]);
    }
}

/// Logs what a callback panicked with, where nobody else is to be told.
pub(super) fn log_panic(text: &str) {
    log_line(Level::Error, "hosted::service", format_args!("a stop callback panicked: {text}"));
}
