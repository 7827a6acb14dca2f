//! A pool of threads for stop callbacks, which may block.
//!
//! At first one thread runs the jobs, one after another. A second thread stands by while jobs wait. If no job has returned for
//! `STALLED_AFTER`, or the oldest job has waited for `SLOW_AFTER`, the pool doubles the number of threads that may run jobs,
//! up to `MAX_THREADS`. So 10,000 quick callbacks need one or two threads, and a callback that blocks delays the others by
//! 10 ms. No thread polls: a thread without work sleeps for `IDLE_TIMEOUT`, and then ends.
//!
//! Invariant: while jobs wait, a thread of the pool is idle or starting (`idle + starting > 0`), unless the operating
//! system cannot create a thread. `Pool::tend` tries again in that case.

use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, Condvar, Mutex, MutexGuard, now, thread, wait};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The pool grows if jobs wait and no job has returned for this time. A callback that does not block takes microseconds.
pub(crate) const STALLED_AFTER: Duration = Duration::from_millis(10);

/// The pool also grows if a job has waited for this time, even if other jobs return: each of them may take some milliseconds.
const SLOW_AFTER: Duration = Duration::from_millis(100);

/// The largest number of threads that run jobs. If all of them are blocked, the next job waits until one returns.
pub(crate) const MAX_THREADS: usize = 512;

/// How long a thread without work is kept. A host that stops its services one by one submits the next job soon.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of the threads of the pool.
pub(crate) const THREAD_NAME: &str = "hosted-callback";

pub(crate) type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Pool {
    state: Mutex<PoolState>,
    /// Notified when a job waits that an idle thread may take.
    work: Condvar,
    /// Receives the message of a job that panicked.
    on_panic: fn(&str),
}

struct PoolState {
    /// The jobs that wait, and since when each of them waits.
    jobs: VecDeque<(Instant, Job)>,
    /// The number of threads that run a job.
    running: usize,
    /// The number of threads that may run jobs at the same time. 1 if there is nothing to do.
    allowed: usize,
    /// The number of threads that wait for work, or stand by.
    idle: usize,
    /// The number of idle threads that went to sleep while jobs waited. They wake up when the pool must grow.
    standing_by: usize,
    /// The number of threads that were created and have not taken the lock yet.
    starting: usize,
    /// When `allowed` was last doubled.
    last_growth: Option<Instant>,
    /// When a job last returned.
    last_return: Option<Instant>,
}

impl Pool {
    pub(crate) fn new(on_panic: fn(&str)) -> Arc<Self> {
        let state = PoolState {
            jobs: VecDeque::new(),
            running: 0,
            allowed: 1,
            idle: 0,
            standing_by: 0,
            starting: 0,
            last_growth: None,
            last_return: None,
        };
        Arc::new(Pool { state: Mutex::new(state), work: Condvar::new(), on_panic })
    }

    /// Submits `job` to the pool. Returns the job if no thread is free and none can be created.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> Result<(), Job> {
        let mut state = self.state.lock();
        state.jobs.push_back((now(), job));
        if self.wake_or_start_thread(&mut state) {
            return Ok(());
        }
        // The job is still the last one, because the lock was not released in between.
        state.jobs.pop_back().map_or(Ok(()), |(_, job)| Err(job))
    }

    /// Submits `job` to the pool. If no thread can be created, the job waits for [`tend`](Self::tend).
    pub(crate) fn submit_patiently(self: &Arc<Self>, job: Job) {
        let mut state = self.state.lock();
        state.jobs.push_back((now(), job));
        self.wake_or_start_thread(&mut state);
    }

    /// Tries again to create a thread, if jobs wait and no thread will take them. Returns `false` if that failed.
    pub(crate) fn tend(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        state.jobs.is_empty() || self.wake_or_start_thread(&mut state)
    }

    /// Upholds the invariant of the pool while jobs wait. Returns `false` if no thread is free and none can be created.
    ///
    /// The thread is created under the lock. No user code runs there, and the caller can take back the job if this fails.
    fn wake_or_start_thread(self: &Arc<Self>, state: &mut PoolState) -> bool {
        if state.idle > 0 {
            // A thread that went to sleep when no job waited has no reason to wake up on its own.
            if state.running < state.allowed || state.standing_by == 0 {
                self.work.notify_one();
            }
            return true;
        }
        if state.starting > 0 {
            return true;
        }
        let pool = self.clone();
        let started = thread::Builder::new().name(THREAD_NAME.to_owned()).spawn(move || pool.run_jobs()).is_ok();
        state.starting += usize::from(started);
        started
    }

    /// Runs jobs until none has come for `IDLE_TIMEOUT`: the main function of a thread of the pool.
    fn run_jobs(self: Arc<Self>) {
        let mut state = self.state.lock();
        state.starting -= 1;
        loop {
            if state.running < state.allowed {
                if let Some((_, job)) = state.jobs.pop_front() {
                    state = self.run_job(state, job);
                    continue;
                }
            }
            let until = state.grows_at().unwrap_or_else(|| now() + IDLE_TIMEOUT);
            let stands_by = usize::from(!state.jobs.is_empty());
            state.idle += 1;
            state.standing_by += stands_by;
            let notified = wait(&self.work, &mut state, Some(until));
            state.idle -= 1;
            state.standing_by -= stands_by;
            if notified {
                continue;
            }
            match state.grows_at() {
                None => return, // no job came
                Some(at) if at <= now() => state.grow(),
                Some(_) => {}
            }
        }
    }

    /// Runs `job` with the lock released, and returns the lock.
    fn run_job<'p>(self: &'p Arc<Self>, mut state: MutexGuard<'p, PoolState>, job: Job) -> MutexGuard<'p, PoolState> {
        state.running += 1;
        if !state.jobs.is_empty() {
            // If no thread can be created to stand by, this thread runs the remaining jobs alone.
            _ = self.wake_or_start_thread(&mut state);
        }
        drop(state);
        if let Err(text) = catch_panic(job) {
            (self.on_panic)(&text);
        }
        let mut state = self.state.lock();
        state.running -= 1;
        state.last_return = Some(now());
        if state.running == 0 && state.jobs.is_empty() {
            state.allowed = 1;
        }
        state
    }
}

impl PoolState {
    /// Returns when the pool must grow, or `None` if no job waits. If the pool has reached `MAX_THREADS`, the result is one
    /// `IDLE_TIMEOUT` away.
    fn grows_at(&self) -> Option<Instant> {
        let &(since, _) = self.jobs.front()?;
        if self.allowed == MAX_THREADS {
            return Some(now() + IDLE_TIMEOUT);
        }
        let waiting_since = self.last_growth.map_or(since, |last| last.max(since));
        let stalled = self.last_return.map_or(waiting_since, |last| last.max(waiting_since)) + STALLED_AFTER;
        Some(stalled.min(waiting_since + SLOW_AFTER))
    }

    fn grow(&mut self) {
        self.allowed = (self.allowed * 2).min(MAX_THREADS);
        self.last_growth = Some(now());
    }
}
