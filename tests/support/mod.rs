//! What the tests share.

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

/// The next value of a channel. Fails if none comes.
pub(crate) fn next<T>(from: &Receiver<T>) -> T {
    from.recv_timeout(LIMIT).expect("this should have come long ago")
}

/// Calls `found` every two milliseconds until it finds something: for what nothing reports.
pub(crate) fn eventually<R>(mut found: impl FnMut() -> Option<R>) -> R {
    let limit = Instant::now() + LIMIT;
    loop {
        if let Some(result) = found() {
            return result;
        }
        assert!(Instant::now() < limit, "this should have come long ago");
        thread::sleep(2 * MS);
    }
}

/// Runs `f` on another thread and returns its result. A hang is a failure, and a panic goes on here.
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
    /// Its directory under `/proc`; `None` where there is none.
    task: Option<String>,
}

impl<R: Send + 'static> Sleeper<R> {
    fn spawn(f: impl FnOnce() -> R + Send + 'static, stack_size: usize) -> Self {
        let (sender, result) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let sleeper = thread::Builder::new().stack_size(stack_size).spawn(move || {
            let link = fs::read_link("/proc/thread-self").ok();
            _ = tell.send(link.map(|task| format!("/proc/{}", task.display())));
            _ = sender.send(catch_unwind(AssertUnwindSafe(f))); // nobody listens any more when the test has failed already
        });
        let task = told.recv().expect("a thread says who it is");
        Sleeper { result, thread: sleeper.unwrap().thread().clone(), task }
    }

    /// Waits for what `f` returns. A hang is a failure, and a panic goes on here.
    pub(crate) fn result(&self) -> R {
        let result = self.result.recv_timeout(LIMIT).expect("a result, rather than a hang");
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Waits for what `f` returns. Returns `None` if it panicked or hangs.
    pub(crate) fn result_in_time(&self) -> Option<R> {
        self.result.recv_timeout(LIMIT).ok()?.ok()
    }

    /// What `f` returned, if it has.
    pub(crate) fn result_so_far(&self) -> Option<R> {
        self.result.try_recv().ok()?.ok()
    }

    pub(crate) fn thread(&self) -> &thread::Thread {
        &self.thread
    }

    /// Returns when the thread is asleep, or gone.
    pub(crate) fn fall_asleep(&self) {
        let Some(task) = self.task() else {
            return thread::sleep(Duration::from_millis(50)); // nothing tells: let it be likely
        };
        let limit = Instant::now() + LIMIT;
        while stat(task, 3).is_some_and(|state| state != "S") {
            assert!(Instant::now() < limit, "the thread never falls asleep");
            thread::yield_now();
        }
    }

    /// Its directory under `/proc`. `None` where there is none.
    pub(crate) fn task(&self) -> Option<&str> {
        self.task.as_deref()
    }
}

/// The directory under `/proc` of this process's thread of that name.
pub(crate) fn task_named(name: &str) -> Option<String> {
    let mut tasks =
        fs::read_dir("/proc/self/task").ok()?.filter_map(|task| Some(task.ok()?.path().display().to_string()));
    tasks.find(|task| fs::read_to_string(format!("{task}/comm")).is_ok_and(|comm| comm.trim_end() == name))
}

/// The processor time that a thread has used, in ticks, and how often it has gone to sleep. `None`: it is gone.
pub(crate) fn cost(task: &str) -> Option<(u64, u64)> {
    let ticks = |number| stat(task, number)?.parse::<u64>().ok();
    let status = fs::read_to_string(format!("{task}/status")).ok()?;
    let sleeps = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
    Some((ticks(14)? + ticks(15)?, sleeps.trim().parse().ok()?))
}

/// That threads come to rest, and then use no processor time and do not wake.
pub(crate) fn assert_at_rest(tasks: &[String]) {
    let costs = || tasks.iter().map(|task| cost(task).unwrap()).collect::<Vec<_>>();
    let over = |time| {
        let before = costs();
        thread::sleep(time); // there is no event to wait for: that nothing happens is the promise
        (before, costs())
    };
    // Falling asleep may take a few steps. A thread that polls never stops waking up.
    let settled = (0..600).any(|_| {
        let (before, after) = over(Duration::from_millis(100));
        before == after
    });
    assert!(settled, "somebody wakes up again and again");
    let (before, after) = over(Duration::from_secs(1));
    assert_eq!(before, after, "ticks of processor time, and the times that each has gone to sleep");
}

/// A field of a thread's `stat`, by its number in `man 5 proc`: 3 is the state, 14 and 15 are its ticks. `None`: it is
/// gone.
fn stat(task: &str, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("{task}/stat")).ok()?;
    // The second field, the name in parentheses, may have spaces in it.
    let from_third = &stat[stat.rfind(')')? + 1..];
    from_third.split_whitespace().nth(number - 3).map(str::to_owned)
}

/// This many times. Under Miri, which needs a day for a million of anything, fewer times.
pub(crate) const fn times(n: usize) -> usize {
    if cfg!(miri) { n / 1_000 + 10 } else { n }
}

/// How often `race` meets.
pub(crate) const RACES: usize = times(10_000);

/// Ten thousand times: does `here` and `there` to the same fresh value at the same moment, then checks it.
pub(crate) fn race<T: Send + Sync>(
    fresh: impl Fn() -> T,
    here: impl Fn(&T),
    there: impl Fn(&T) + Send + Sync,
    check: impl Fn(&T),
) {
    let arrived = &AtomicUsize::new(0);
    // Spinning: woken threads come so late that nothing would ever happen at the same moment.
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
