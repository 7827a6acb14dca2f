//! Shutdown in a process that cannot create threads. Each test runs a program in such a process. Linux.
#![cfg(target_os = "linux")]

use crate::support::LIMIT;
use crate::support::child::{Child, Program, leave, say};
use crossbeam_channel::{bounded, unbounded};
use hosted::{Context, Host, Queue, StopSource, worker};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, thread};

/// Takes all threads that the process can still create, until it is dropped.
struct NoThreads(Rlimit);

impl NoThreads {
    fn new() -> Self {
        let before = getrlimit(Resource::As);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("VmSize:")).unwrap();
        let kilobytes: u64 = size.trim().trim_end_matches(" kB").parse().unwrap();
        // The stack of a thread does not fit into a megabyte; the allocations of a test do.
        let current = Some((kilobytes << 10) + (1 << 20));
        setrlimit(Resource::As, Rlimit { current, ..before }).unwrap();
        // The process may reuse stacks of threads that have exited.
        while thread::Builder::new().spawn(thread::park).is_ok() {}
        NoThreads(before)
    }
}

impl Drop for NoThreads {
    fn drop(&mut self) {
        setrlimit(Resource::As, self.0).unwrap();
    }
}

pub(crate) const PROGRAMS: &[Program] = &[
    ("a callback of a host", callback_of_a_host),
    ("a repeated callback", repeated_callback),
    ("a job's time", a_jobs_time),
    ("a callback of a timer", callback_of_a_timer),
];

fn well(program: &str) {
    assert_eq!(Child::play(program).ends(), (0, String::new()));
}

fn callback_of_a_host() {
    say("ready");
    let (sender, receiver) = bounded(1);
    let (shelf, guards) = unbounded();
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        let sender = sender.clone();
        shelf.send(ctx.on_stop(move || sender.send(thread::current().id()).unwrap()))?;
        ctx.wait();
        Ok(())
    };
    host.add("service", worker(run));
    host.start().unwrap();
    let _guard = guards.recv_timeout(LIMIT).unwrap();
    let starved = NoThreads::new();
    _ = host.stop(LIMIT / 60); // without a thread nobody joins it
    assert_eq!(receiver.try_recv(), Ok(thread::current().id()));
    drop(starved);
    leave(ExitCode::SUCCESS);
}

#[test]
fn a_callback_is_called_by_the_stopping_thread_if_no_thread_can_be_created() {
    well("a callback of a host");
}

fn repeated_callback() {
    say("ready");
    let (sender, receiver) = unbounded();
    let source = StopSource::new();
    let guard = source.token().on_stop_repeating(Duration::from_millis(1), move || sender.send(()).unwrap());
    let starved = NoThreads::new();
    source.request_stop();
    assert_eq!(receiver.try_recv(), Ok(()));
    drop(guard);
    assert_eq!(receiver.try_iter().count(), 0);
    drop(starved);
    leave(ExitCode::SUCCESS);
}

#[test]
fn a_repeated_callback_is_called_once_if_no_thread_can_be_created() {
    well("a repeated callback");
}

fn a_jobs_time() {
    say("ready");
    let (sender, receiver) = bounded(1);
    let queue = Queue::bounded(1);
    let mut host = Host::new();
    let job = move |(): (), ctx: &Context| {
        sender.send(()).unwrap();
        ctx.wait(); // until the stop deadline
        Ok(())
    };
    host.add("consumer", queue.consumer(job)).stop_timeout(Duration::from_millis(10));
    host.start().unwrap();
    queue.push(()).unwrap();
    receiver.recv_timeout(LIMIT).unwrap();
    let starved = NoThreads::new();
    host.stop(LIMIT).unwrap();
    drop(starved);
    leave(ExitCode::SUCCESS);
}

#[test]
fn a_jobs_token_stops_at_its_deadline_even_if_no_thread_can_be_created() {
    well("a job's time");
}

fn callback_of_a_timer() {
    say("ready");
    // Now the timer has its thread, and what it allocates first.
    let warm = StopSource::new();
    warm.request_stop_after(Duration::ZERO);
    warm.token().wait();
    let (first, second) = (StopSource::new(), StopSource::new());
    let ((release, held), (sender, receiver)) = (bounded::<()>(0), bounded(1));
    let _guard = first.token().on_stop(move || {
        _ = held.recv();
        sender.send(()).unwrap();
    });
    let (token, (ready, is_ready)) = (second.token(), bounded(1));
    let waiting = thread::spawn(move || {
        ready.send(()).unwrap();
        token.wait_timeout(LIMIT)
    });
    is_ready.recv_timeout(LIMIT).unwrap();
    let starved = NoThreads::new();
    first.request_stop_after(Duration::ZERO);
    second.request_stop_after(Duration::from_millis(1));
    assert!(waiting.join().unwrap(), "the timer's thread is in the callback");
    drop((starved, release));
    receiver.recv_timeout(LIMIT).unwrap();
    leave(ExitCode::SUCCESS);
}

#[test]
fn a_callback_of_a_timer_waits_for_a_thread_and_does_not_block_the_timer() {
    well("a callback of a timer");
}
