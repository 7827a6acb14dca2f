//! The process-wide pool for stop callbacks that must not delay the thread that requests the stop.

use super::callback_pool::{Job, Pool, THREAD_NAME};
use crate::util::log::log_line;
use crate::util::sync::{Arc, OnceLock, thread};
use crate::util::time::deadline;
use log::Level;
use std::time::{Duration, Instant};

/// How long to wait before the next attempt to create a thread, while callbacks wait and no thread can be created.
const RETRY: Duration = Duration::from_millis(10);

fn pool() -> &'static Arc<Pool> {
    static POOL: OnceLock<Arc<Pool>> = OnceLock::new();
    POOL.get_or_init(|| Pool::new(log_panic))
}

/// Runs `job` on a thread of the pool. If no thread can be created, runs it on the calling thread.
pub(crate) fn run(job: Job) {
    if let Err(job) = pool().submit(job) {
        job();
    }
}

/// Runs `job` on a thread of the pool, and never on the calling thread. If no thread can be created, the job waits for
/// [`tend`].
pub(crate) fn run_patiently(job: Job) {
    pool().submit_patiently(job);
}

/// Tries again to create a thread, if callbacks wait for one. Returns when to call this again, if that failed.
///
/// A thread that waits anyway calls this: the timer thread, or a host that stops.
pub(crate) fn tend() -> Option<Instant> {
    if pool().tend() { None } else { deadline(RETRY) }
}

/// Calls `f`. If the calling thread belongs to the pool, the kernel shows it under `name` meanwhile, so that `top -H` and a
/// debugger show whose callback it runs.
pub(crate) fn named(name: &str, f: impl FnOnce()) {
    // If the job runs on the thread that requested the stop, that thread keeps its name.
    let is_pool_thread = thread::current().name() == Some(THREAD_NAME);
    if is_pool_thread {
        set_kernel_name(name);
    }
    f();
    if is_pool_thread {
        set_kernel_name(THREAD_NAME);
    }
}

/// Sets the kernel name of the calling thread to the first 15 bytes of `name`. Takes some microseconds on Linux, and does
/// nothing on other systems.
fn set_kernel_name(name: &str) {
    if cfg!(target_os = "linux") {
        let end = (0..=name.len().min(15)).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
        // Only tools such as `top -H` show this name. If the file cannot be written, the old name stays.
        _ = std::fs::write("/proc/thread-self/comm", &name[..end]);
    }
}

/// Logs the panic message of a callback.
pub(super) fn log_panic(text: &str) {
    log_line(Level::Error, "hosted::service", format_args!("a stop callback panicked: {text}"));
}
