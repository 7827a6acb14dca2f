//! A pool of threads for stop callbacks, which may block for as long as they like.
//!
//! At first one thread calls the callbacks, one after another. A second thread stands by while jobs wait. When no callback
//! has returned for `HELD_UP`, or the oldest job has waited for `SLOW`, the pool doubles the number of threads that call, up
//! to `MOST`. So 10,000 quick
//! callbacks cost a thread or two, and one callback that blocks delays the others by 10 ms. No thread polls: a thread
//! without work sleeps for `KEPT`, and then ends.
//!
//! Invariant: while jobs wait, a thread of the pool is idle or about to run (`idle + coming > 0`), unless the operating
//! system has no thread to give. `Pool::tend` repairs the second case.

use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, Condvar, Mutex, MutexGuard, now, thread, wait};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pool grows when jobs wait and no callback has returned for so long. A callback that does not block takes microseconds.
const HELD_UP: Duration = Duration::from_millis(10);

/// It also grows when a job has waited for so long, though callbacks return: each may take some milliseconds.
const SLOW: Duration = Duration::from_millis(100);

/// The pool has no more threads than this that call. The next job then waits until one of these callbacks returns.
const MOST: usize = 512;

/// How long a thread without work is kept: a host that stops its services one by one has the next job soon.
const KEPT: Duration = Duration::from_secs(1);

/// The kernel's name of a thread of the pool.
pub(crate) const NAME: &str = "hosted-callback";

pub(crate) type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Pool {
    inner: Mutex<Inner>,
    /// A job waits that an idle thread may take.
    work: Condvar,
    /// Receives the message of a job that panicked.
    panicked: fn(&str),
}

struct Inner {
    /// What waits to be called, and since when.
    jobs: VecDeque<(Instant, Job)>,
    /// How many threads are in a job.
    running: usize,
    /// How many threads may be in a job. 1 when there is nothing to do.
    allowed: usize,
    /// How many threads wait for work, or stand by.
    idle: usize,
    /// How many of the idle threads went to sleep while jobs waited: they wake up when the pool is to grow.
    standing_by: usize,
    /// How many threads were started and have not come to the lock yet.
    coming: usize,
    /// When `allowed` was last doubled.
    grown: Option<Instant>,
    /// When a callback last returned.
    returned: Option<Instant>,
}

impl Pool {
    pub(crate) fn new(panicked: fn(&str)) -> Arc<Self> {
        let jobs = VecDeque::new();
        let inner =
            Inner { jobs, running: 0, allowed: 1, idle: 0, standing_by: 0, coming: 0, grown: None, returned: None };
        Arc::new(Pool { inner: Mutex::new(inner), work: Condvar::new(), panicked })
    }

    /// Hands `job` to the pool. Hands it back if no thread is free and the operating system has none to give.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> Result<(), Job> {
        let mut inner = self.inner.lock();
        inner.jobs.push_back((now(), job));
        if self.call_a_thread(&mut inner) {
            return Ok(());
        }
        // The job is the last one: the lock has not been released since.
        inner.jobs.pop_back().map_or(Ok(()), |(_, job)| Err(job))
    }

    /// Hands `job` to the pool, where it waits even if there is no thread for it now; see [`tend`](Self::tend).
    pub(crate) fn submit_patiently(self: &Arc<Self>, job: Job) {
        let mut inner = self.inner.lock();
        inner.jobs.push_back((now(), job));
        self.call_a_thread(&mut inner);
    }

    /// Tries again to start a thread, if jobs wait and no thread will take them. Returns `false` if that failed.
    pub(crate) fn tend(self: &Arc<Self>) -> bool {
        let mut inner = self.inner.lock();
        inner.jobs.is_empty() || self.call_a_thread(&mut inner)
    }

    /// Keeps the invariant while jobs wait. Returns `false` if no thread is free and none can be created.
    ///
    /// A thread is started under the lock: nobody else's code runs there, and a job that finds no thread can be taken back.
    fn call_a_thread(self: &Arc<Self>, inner: &mut Inner) -> bool {
        if inner.idle > 0 {
            // A thread that fell asleep without a job in sight would sleep on.
            if inner.running < inner.allowed || inner.standing_by == 0 {
                self.work.notify_one();
            }
            return true;
        }
        if inner.coming > 0 {
            return true;
        }
        let pool = self.clone();
        let started = thread::Builder::new().name(NAME.to_owned()).spawn(move || pool.live()).is_ok();
        inner.coming += usize::from(started);
        started
    }

    /// The life of a thread of the pool.
    fn live(self: Arc<Self>) {
        let mut inner = self.inner.lock();
        inner.coming -= 1;
        loop {
            if inner.running < inner.allowed {
                if let Some((_, job)) = inner.jobs.pop_front() {
                    inner = self.call(inner, job);
                    continue;
                }
            }
            let until = inner.held_up_at().unwrap_or_else(|| now() + KEPT);
            let stands_by = usize::from(!inner.jobs.is_empty());
            (inner.idle, inner.standing_by) = (inner.idle + 1, inner.standing_by + stands_by);
            let in_time = wait(&self.work, &mut inner, Some(until));
            (inner.idle, inner.standing_by) = (inner.idle - 1, inner.standing_by - stands_by);
            if in_time {
                continue;
            }
            match inner.held_up_at() {
                None => return, // no job came
                Some(at) if at <= now() => inner.grow(),
                Some(_) => {}
            }
        }
    }

    fn call<'p>(self: &'p Arc<Self>, mut inner: MutexGuard<'p, Inner>, job: Job) -> MutexGuard<'p, Inner> {
        inner.running += 1;
        if !inner.jobs.is_empty() {
            // If there is no thread to stand by, this one goes on alone.
            _ = self.call_a_thread(&mut inner);
        }
        drop(inner);
        if let Err(text) = catch_panic(job) {
            (self.panicked)(&text);
        }
        let mut inner = self.inner.lock();
        inner.running -= 1;
        inner.returned = Some(now());
        if inner.running == 0 && inner.jobs.is_empty() {
            inner.allowed = 1;
        }
        inner
    }
}

impl Inner {
    /// When the pool is to grow. `None`: no job waits. Far away where the pool has all the threads that it may have.
    fn held_up_at(&self) -> Option<Instant> {
        let &(since, _) = self.jobs.front()?;
        if self.allowed == MOST {
            return Some(now() + KEPT);
        }
        let from = self.grown.map_or(since, |grown| grown.max(since));
        let stalled = self.returned.map_or(from, |returned| returned.max(from)) + HELD_UP;
        Some(stalled.min(from + SLOW))
    }

    fn grow(&mut self) {
        self.allowed = (self.allowed * 2).min(MOST);
        self.grown = Some(now());
    }
}
