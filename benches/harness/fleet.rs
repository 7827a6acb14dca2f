//! Many services, and the same number of threads without a host.

use super::signal::{Bare, Signal};
use hosted::{Context, Host, Result, worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// The `run` of an idle service.
pub(crate) fn wait(ctx: &Context) -> Result {
    ctx.wait();
    Ok(())
}

/// Starts idle services side by side.
pub(crate) fn idle(services: usize) -> Host {
    started(services, false, wait)
}

pub(crate) fn started(
    services: usize,
    in_order: bool,
    run: impl FnMut(&Context) -> Result + Clone + Send + 'static,
) -> Host {
    let mut host = Host::new();
    for number in 0..services {
        let options = host.add(format!("service {number}"), worker(run.clone()));
        if !in_order {
            options.after::<&str>([]);
        }
    }
    host.start().unwrap();
    host
}

/// Threads that wait for one signal.
pub(crate) struct Threads {
    pub(crate) stop: Bare,
    pub(crate) threads: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn stop(self) {
        self.stop.raise();
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Spawns the threads without waiting for them.
pub(crate) fn bare(threads: usize) -> Threads {
    with(threads, || (), || ())
}

/// Spawns the threads and waits until all run, as the services of a host do when `start` returns.
pub(crate) fn ready(threads: usize, after: impl Fn() + Clone + Send + 'static) -> Threads {
    let (running, all_run) = (Arc::new(AtomicUsize::new(0)), Bare::fresh());
    let signal = all_run.clone();
    let before = move || {
        if running.fetch_add(1, Ordering::Relaxed) + 1 == threads {
            signal.raise();
        }
    };
    let spawned = with(threads, before, after);
    all_run.wait();
    spawned
}

fn with(
    threads: usize,
    before: impl Fn() + Clone + Send + 'static,
    after: impl Fn() + Clone + Send + 'static,
) -> Threads {
    let stop = Bare::fresh();
    let spawn = |number| {
        let (stop, before, after) = (stop.clone(), before.clone(), after.clone());
        named(number, move || {
            before();
            stop.wait();
            after();
        })
    };
    let threads = (0..threads).map(spawn).collect();
    Threads { stop, threads }
}

pub(crate) fn named(number: usize, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(format!("service {number}")).spawn(run).unwrap()
}
