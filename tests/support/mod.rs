//! Shared parts of the tests.

#![allow(dead_code, unused_imports, unused_macros)] // each test program uses its own part of it

pub(crate) mod alone;
#[cfg(unix)]
pub(crate) mod child;
#[cfg(feature = "disconnect")]
pub(crate) mod hanging;
pub(crate) mod log;
pub(crate) mod report;
pub(crate) mod services;
#[cfg(unix)]
pub(crate) mod sockets;

pub(crate) use alone::alone;
pub(crate) use report::{failures, hung, states, stop_timed_out};
pub(crate) use services::{BlocksInDrop, Gate, by_phase, idle, idle_phase, in_phase, stopped, unresponsive, waits};

use crossbeam_channel::Receiver;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};
use std::{fs, hint, thread};

/// Turns a hang into a failure. No test expects anything to be faster.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Returns the next value of a channel. Fails if none comes.
pub(crate) fn next<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(LIMIT).expect("no value within the limit")
}

/// Calls `found` every two milliseconds until it returns `Some`. Use it only if no event reports the change.
pub(crate) fn eventually<R>(mut found: impl FnMut() -> Option<R>) -> R {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Some(result) = found() {
            return result;
        }
        assert!(Instant::now() < limit, "nothing was found within the limit");
        thread::sleep(2 * MS);
    }
}

/// Runs `f` on another thread and returns its result. A hang is a failure. A panic continues here.
pub(crate) fn in_time<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    Sleeper::spawn(f, 2 << 20).result()
}

/// Runs `f` on a thread whose stack is too small for recursion. A hang is a failure.
pub(crate) fn on_a_small_stack<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    Sleeper::spawn(f, 128 << 10).result()
}

/// Calls `f` on another thread, and returns when that thread is asleep or done.
pub(crate) fn asleep_in<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> Sleeper<R> {
    let sleeper = Sleeper::spawn(f, 1 << 20);
    sleeper.fall_asleep();
    sleeper
}

/// A thread that waits for something, and its result.
pub(crate) struct Sleeper<R> {
    result: mpsc::Receiver<thread::Result<R>>,
    thread: thread::Thread,
    /// Its directory under `/proc`. `None` on other systems.
    task: Option<String>,
}

impl<R: Send + 'static> Sleeper<R> {
    fn spawn(f: impl FnOnce() -> R + Send + 'static, stack_size: usize) -> Self {
        let (sender, result) = mpsc::channel();
        let (send_task, task) = mpsc::channel();
        let sleeper = thread::Builder::new().stack_size(stack_size).spawn(move || {
            let link = fs::read_link("/proc/thread-self").ok();
            _ = send_task.send(link.map(|task| format!("/proc/{}", task.display())));
            _ = sender.send(catch_unwind(AssertUnwindSafe(f))); // after a failed test nobody receives it
        });
        let task = task.recv().expect("the thread sends its task");
        Sleeper { result, thread: sleeper.unwrap().thread().clone(), task }
    }

    /// Waits for the result of `f`. A hang is a failure. A panic continues here.
    pub(crate) fn result(&self) -> R {
        let result = self.result.recv_timeout(LIMIT).expect("a result, rather than a hang");
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Waits for the result of `f`. Returns `None` if it panicked or hangs.
    pub(crate) fn result_in_time(&self) -> Option<R> {
        self.result.recv_timeout(LIMIT).ok()?.ok()
    }

    /// Returns the result of `f` if it has returned.
    pub(crate) fn result_so_far(&self) -> Option<R> {
        self.result.try_recv().ok()?.ok()
    }

    pub(crate) fn thread(&self) -> &thread::Thread {
        &self.thread
    }

    /// Returns when the thread is asleep or has exited.
    pub(crate) fn fall_asleep(&self) {
        let Some(task) = self.task() else {
            return thread::sleep(Duration::from_millis(50)); // without /proc, make it likely
        };
        let limit = Instant::now() + LIMIT;
        while stat(task, 3).is_some_and(|state| state != "S") {
            assert!(Instant::now() < limit, "the thread never falls asleep");
            thread::yield_now();
        }
    }

    /// Returns its directory under `/proc`. Returns `None` on other systems.
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }
}

/// Returns the directory under `/proc` of the thread with this name in this process.
pub(crate) fn task_named(name: &str) -> Option<String> {
    let mut tasks =
        fs::read_dir("/proc/self/task").ok()?.filter_map(|task| Some(task.ok()?.path().display().to_string()));
    tasks.find(|task| fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim_end() == name))
}

/// Waits for the thread with this name, and returns its directory under `/proc`. A thread gives itself its name only after
/// the call that created it has returned.
pub(crate) fn wait_for_task(name: &str) -> String {
    eventually(|| task_named(name))
}

/// Returns the processor time that a thread has used, in ticks, and how often it has gone to sleep. Returns `None`
/// after its exit.
pub(crate) fn cost(task: &str) -> Option<(u64, u64)> {
    let ticks = |number| stat(task, number)?.parse::<u64>().ok();
    let status = fs::read_to_string(format!("{task}/status")).ok()?;
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    Some((ticks(14)? + ticks(15)?, sleeps.trim().parse().ok()?))
}

/// Asserts that these threads come to rest, and then neither use processor time nor wake.
pub(crate) fn assert_at_rest(tasks: &[String]) {
    let costs = || tasks.iter().map(|task| cost(task).unwrap()).collect::<Vec<_>>();
    let over = |time| {
        let before = costs();
        thread::sleep(time); // the promise is that nothing happens, so there is no event to wait for
        (before, costs())
    };
    // Falling asleep may take a few steps. A thread that polls never stops waking.
    let at_rest = (0..600).any(|_| {
        let (before, after) = over(Duration::from_millis(100));
        before == after
    });
    assert!(at_rest, "a thread wakes again and again");
    let (before, after) = over(Duration::from_secs(1));
    assert_eq!(before, after, "the ticks of processor time, and how often each thread has gone to sleep");
}

/// Returns a field of a thread's `stat`, by its number in `man 5 proc`: 3 is the state, 14 and 15 are its ticks.
/// Returns `None` after its exit.
fn stat(task: &str, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("{task}/stat")).ok()?;
    // The second field, the name in parentheses, may contain spaces.
    let from_third = &stat[stat.rfind(')')? + 1..];
    from_third.split_whitespace().nth(number - 3).map(str::to_owned)
}

/// Returns `times`. Under Miri, which needs a day for a million of anything, returns less.
pub(crate) const fn times(n: usize) -> usize {
    if cfg!(miri) { n / 1_000 + 10 } else { n }
}

/// The number of rounds in `race`.
pub(crate) const RACES: usize = times(10_000);

/// Ten thousand times: calls `here` and `there` with the same new value at the same moment, then checks the value.
pub(crate) fn race<T: Send + Sync>(
    fresh: impl Fn() -> T,
    here: impl Fn(&T),
    there: impl Fn(&T) + Send + Sync,
    check: impl Fn(&T),
) {
    let arrived = &AtomicUsize::new(0);
    // Spin: a thread that must be woken comes too late for the same moment.
    let meet = move |meeting: usize| {
        arrived.fetch_add(1, Ordering::SeqCst);
        for spins in 1.. {
            if arrived.load(Ordering::SeqCst) >= 2 * meeting {
                return;
            }
            if spins % 100 == 0 { thread::yield_now() } else { hint::spin_loop() }
        }
    };
    let (sender, receiver) = mpsc::channel::<Arc<T>>();
    thread::scope(move |scope| {
        scope.spawn(move || {
            for (round, value) in receiver.iter().enumerate() {
                meet(2 * round + 1);
                there(&value);
                meet(2 * round + 2);
            }
        });
        for round in 0..RACES {
            let value = Arc::new(fresh());
            sender.send(value.clone()).unwrap();
            meet(2 * round + 1);
            (0..round % 100).for_each(|_| hint::spin_loop());
            here(&value);
            meet(2 * round + 2);
            check(&value);
        }
        drop(sender);
    });
}

/// A callback that counts its calls.
pub(crate) fn counting(runs: &Arc<AtomicUsize>) -> impl FnOnce() + Send + 'static {
    let runs = runs.clone();
    move || _ = runs.fetch_add(1, Ordering::SeqCst)
}
