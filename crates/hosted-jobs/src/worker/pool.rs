//! What the services of one set of workers share.

use crate::context::{Run, StopCause};
use crate::core::{Bell, Core};
use crate::handlers::Handlers;
use crate::rules::{CompletedRun, RunResult};
use crate::store::{Claimed, KindVersion, Life, Pause};
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// So many results are worth a transaction of their own, even if the threads are busy.
const ENOUGH_RESULTS: usize = 50;

/// The threads of one set of workers, the jobs that wait for them, and their results.
pub(super) struct Pool {
    pub(super) core: Arc<Core>,
    pub(super) handlers: Handlers,
    pub(super) kinds: Arc<Vec<KindVersion>>,
    pub(super) queues: Option<Arc<Vec<String>>>,
    pub(super) threads: usize,
    pub(super) prefetch: usize,
    pub(super) bell: Arc<Bell>,
    /// Jobs that are claimed and not started. Threads take them in order.
    ready: (Sender<Claimed>, Receiver<Claimed>),
    /// Jobs that are claimed and whose result is not in `results` yet.
    in_flight: AtomicUsize,
    started: AtomicU64,
    /// A running average of how long a job takes, in nanoseconds. 0: not known yet.
    job_time: AtomicU64,
    state: Mutex<PoolState>,
    /// The stop was requested: nothing starts any more.
    closing: AtomicBool,
    /// The writer has returned: results are written by the threads themselves.
    closed: AtomicBool,
    /// Set by the writer when it has registered, which is before the threads start.
    life: OnceLock<Arc<dyn Life>>,
    /// Told by the writer when it goes to sleep: from now on the watcher may wake it.
    pub(super) watch_requests: (Sender<()>, Receiver<()>),
}

#[derive(Default)]
struct PoolState {
    results: Vec<CompletedRun>,
    running: HashMap<i64, Arc<Run>>,
}

impl Pool {
    pub(super) fn new(core: Arc<Core>, handlers: Handlers, threads: usize, prefetch: usize) -> Arc<Self> {
        let bell = core.bells.add();
        Arc::new(Pool {
            kinds: Arc::new(handlers.kinds()),
            queues: handlers.queue_names().map(|names| Arc::new(names.to_vec())),
            core,
            handlers,
            threads,
            prefetch,
            bell,
            ready: unbounded(),
            in_flight: AtomicUsize::new(0),
            started: AtomicU64::new(0),
            job_time: AtomicU64::new(0),
            state: Mutex::default(),
            closing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            life: OnceLock::new(),
            watch_requests: crossbeam_channel::bounded(1),
        })
    }

    /// Where threads take their jobs.
    pub(super) fn ready(&self) -> &Receiver<Claimed> {
        &self.ready.1
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    pub(super) fn started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    pub(super) fn job_time(&self) -> Duration {
        Duration::from_nanos(self.job_time.load(Ordering::Relaxed))
    }

    /// Hands claimed jobs to the threads.
    pub(super) fn hand_out(&self, jobs: Vec<Claimed>) {
        self.in_flight.fetch_add(jobs.len(), Ordering::AcqRel);
        for job in jobs {
            // The pool holds the receiver, so the channel is connected.
            let _ = self.ready.0.send(job);
        }
    }

    /// Takes back the jobs that no thread has started and that `which` selects, as results.
    pub(super) fn take_back(&self, which: impl Fn(&Claimed) -> bool) -> Vec<CompletedRun> {
        let (mut back, mut kept) = (Vec::new(), Vec::new());
        while let Ok(job) = self.ready.1.try_recv() {
            if which(&job) { back.push(job) } else { kept.push(job) }
        }
        self.in_flight.fetch_sub(back.len() + kept.len(), Ordering::AcqRel);
        self.hand_out(kept);
        back.into_iter().map(|job| self.handed_back(&job)).collect()
    }

    /// The result of a job that was not started.
    fn handed_back(&self, job: &Claimed) -> CompletedRun {
        if job.lost > 0 {
            self.core.suspect_runs.store(false, Ordering::Release);
        }
        CompletedRun {
            fence: job.fence,
            kind: job.kind.clone(),
            failed: job.failed,
            max_failures: job.max_failures,
            output: None,
            result: RunResult::HandedBack,
        }
    }

    pub(super) fn set_life(&self, life: Arc<dyn Life>) {
        // A pool has one writer, which registers once.
        let _ = self.life.set(life);
    }

    pub(super) fn mark_started(&self, thread: usize, job: Option<i64>) {
        if let Some(life) = self.life.get() {
            life.mark_started(thread, job);
        }
    }

    pub(super) fn begin(&self, run: &Arc<Run>) {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.state.lock().running.insert(run.fence.id, run.clone());
    }

    /// Takes the result of a job that a thread has run. Returns it if the writer is gone.
    pub(super) fn end(&self, result: CompletedRun, suspect: bool, took: Duration) -> Option<CompletedRun> {
        self.measure(took);
        let (late, results) = {
            let mut state = self.state.lock();
            state.running.remove(&result.fence.id);
            let late = if self.closed.load(Ordering::Acquire) {
                Some(result)
            } else {
                state.results.push(result);
                None
            };
            (late, state.results.len())
        };
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
        if suspect {
            // The next suspect may be claimed.
            self.core.suspect_runs.store(false, Ordering::Release);
            self.bell.announce_work();
        } else if results == 1 || results == ENOUGH_RESULTS || !self.has_backlog() {
            // While the threads have enough to do, the writer gathers the results that follow the first one.
            self.bell.ring();
        }
        late
    }

    /// A running average in which a new value counts for an eighth, and at once if it is much greater.
    fn measure(&self, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        let old = self.job_time.load(Ordering::Relaxed);
        let new = if old == 0 || took / 8 > old { took } else { old - old / 8 + took / 8 };
        // Two threads at once: one value is lost, which an average can bear.
        self.job_time.store(new.max(1), Ordering::Relaxed);
    }

    /// No job has been started for long: jobs take longer than was thought.
    pub(super) fn assume_long_jobs(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.job_time.fetch_max(nanos, Ordering::Relaxed);
    }

    /// Whether more jobs are claimed than the threads need at once.
    fn has_backlog(&self) -> bool {
        self.ready.1.len() > self.threads
    }

    /// Whether a transaction can wait for more results, because the threads are busy and there are only a few.
    pub(super) fn can_gather(&self) -> bool {
        self.has_backlog() && self.state.lock().results.len() < ENOUGH_RESULTS
    }

    pub(super) fn take_results(&self) -> Vec<CompletedRun> {
        std::mem::take(&mut self.state.lock().results)
    }

    /// Puts results in front again that could not be written.
    pub(super) fn put_results_back(&self, mut results: Vec<CompletedRun>) {
        let mut state = self.state.lock();
        results.append(&mut state.results);
        state.results = results;
    }

    pub(super) fn has_results(&self) -> bool {
        !self.state.lock().results.is_empty()
    }

    /// Every job of this pool that is claimed and not settled. The pool must hand out nothing meanwhile.
    pub(super) fn claimed_ids(&self) -> Vec<i64> {
        let jobs: Vec<Claimed> = self.ready.1.try_iter().collect();
        let mut ids: Vec<i64> = jobs.iter().map(|job| job.fence.id).collect();
        self.in_flight.fetch_sub(jobs.len(), Ordering::AcqRel);
        self.hand_out(jobs);
        let state = self.state.lock();
        ids.extend(state.running.keys());
        ids.extend(state.results.iter().map(|result| result.fence.id));
        ids
    }

    /// Stops the tokens of the running jobs among `ids`.
    pub(super) fn cancel(&self, ids: &[i64]) {
        let runs: Vec<Arc<Run>> = {
            let state = self.state.lock();
            ids.iter().filter_map(|id| state.running.get(id).cloned()).collect()
        };
        for run in runs {
            run.request_stop(StopCause::Cancelled);
        }
    }

    /// A running job does not belong to this process any more: its thread should know.
    pub(super) fn lost(&self, id: i64) {
        let run = self.state.lock().running.get(&id).cloned();
        if let Some(run) = run {
            run.request_stop(StopCause::LostClaim);
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// The stop was requested: the writer gives back what no thread has started.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// The writer returns. Returns the results that came meanwhile.
    pub(super) fn finish(&self) -> Vec<CompletedRun> {
        let mut state = self.state.lock();
        self.closed.store(true, Ordering::Release);
        std::mem::take(&mut state.results)
    }
}

/// Whether a claimed job is paused by now.
pub(super) fn is_paused(job: &Claimed, pauses: &[Pause]) -> bool {
    pauses.iter().any(|pause| match pause {
        Pause::Queue(queue) => *queue == job.queue,
        Pause::Kind(kind) => *kind == job.kind,
    })
}
