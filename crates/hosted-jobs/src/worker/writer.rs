//! The service that claims jobs, writes their results, and rechecks after the store.

use super::cycle::{Cycle, CycleResult};
use super::pool::{Pool, is_paused};
use super::prefetch::Prefetch;
use super::recheck::Rechecks;
use crate::commit::CommitMode;
use crate::error::StoreError;
use crate::events::JobEventKind;
use crate::registration::Registration;
use crate::rules::{CompletedRun, PRUNE_PAUSE, prune};
use crate::util::{Millis, random_between};
use hosted::{Context, Result, Service};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How often the locks of other processes are tried while they hold jobs.
const RESCUE_PERIOD: Duration = Duration::from_millis(400);

/// A job that is claimed and that no thread has started for this long is given back.
const STALE: Duration = Duration::from_millis(100);

/// The longest wait for more results before a transaction.
const LONGEST_GATHERING: Duration = Duration::from_millis(2);

/// The longest sleep while something is due later: somebody may set the clock forward.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How often old jobs are deleted, if jobs have ended since.
const PRUNE_PERIOD: Duration = Duration::from_secs(60);

/// The log of the database should not be larger than this.
const LARGE_LOG: u64 = 64 << 20;

/// How long to wait after an error of the store: from the first to the second, twice as long each time.
const RETRY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// At a stop, this part of the time that is left is for the last transaction.
const LAST_WRITE_PART: u32 = 20;
const LAST_WRITE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

pub(super) struct Writer {
    pool: Arc<Pool>,
    registration: Option<Registration>,
    state: WriterState,
}

/// What the writer remembers from one transaction to the next.
struct WriterState {
    prefetch: Prefetch,
    rechecks: Rechecks,
    /// There may be jobs that nobody has claimed.
    may_have_ready: bool,
    turn: usize,
    /// When to try the locks of other processes. `None`: they hold no job.
    rescue_at: Option<Instant>,
    /// When the next job or schedule is due, by the store's clock.
    next_due: Option<Millis>,
    cancels_seen: u64,
    check_cancels: bool,
    /// The outcome of the last transaction is unknown.
    reconcile: bool,
    /// The wait after the next error of the store.
    retry: Duration,
    failing: bool,
    /// Jobs have ended since the last pruning.
    prune_needed: bool,
    prune_at: Option<Instant>,
    /// How many jobs had been started when some began to wait.
    waiting_since: Option<(Instant, u64)>,
}

impl Writer {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let state = WriterState {
            prefetch: Prefetch::new(),
            rechecks: Rechecks::new(),
            may_have_ready: true,
            turn: 0,
            rescue_at: Some(Instant::now()),
            next_due: None,
            cancels_seen: 0,
            check_cancels: false,
            reconcile: false,
            retry: RETRY.0,
            failing: false,
            prune_needed: true,
            prune_at: None,
            waiting_since: None,
        };
        Writer { pool, registration: None, state }
    }

    /// Works until the stop is requested and all threads have returned their jobs, or until there is no time left.
    fn work(&mut self, ctx: &Context, worker: i64) {
        loop {
            let stopping = self.pool.is_closing() || ctx.stop_requested();
            if stopping {
                let back = self.pool.take_back(|_| true);
                self.pool.put_results_back(back);
                let is_done = self.pool.in_flight() == 0 && !self.pool.has_results();
                if ctx.stop_requested() && (is_done || is_late(ctx)) {
                    return;
                }
            }
            self.notice();
            let most = if stopping { 0 } else { self.room() };
            let claims = most > 0 && (self.state.may_have_ready || self.is_due());
            let rescues = self.state.rescue_at.is_some_and(|at| at <= Instant::now());
            if claims || rescues || self.state.check_cancels || self.pool.has_results() {
                self.gather(ctx, stopping);
                self.cycle(ctx, worker, most);
            } else if !self.housekeeping(ctx, stopping) {
                self.wait(ctx, stopping);
            }
        }
    }

    /// Waits for more results while the threads have enough to do: for as long as a transaction takes, at most. So one
    /// transaction writes many results of short jobs, and none of them waits for a long job.
    fn gather(&self, ctx: &Context, stopping: bool) {
        if !stopping && self.pool.can_gather() {
            let longest = self.state.prefetch.commit_time().min(LONGEST_GATHERING);
            self.pool.bell.wait(ctx, true, Duration::MAX, longest);
        }
    }

    /// Takes note of what has happened since the last round.
    fn notice(&mut self) {
        let state = &mut self.state;
        if self.pool.bell.take_work() {
            state.may_have_ready = true;
        }
        if self.pool.bell.take_foreign() {
            state.rechecks.restart();
        }
        let cancels = self.pool.core.cancels.load(Ordering::Acquire);
        if std::mem::replace(&mut state.cancels_seen, cancels) != cancels {
            state.check_cancels = true;
        }
        self.give_back_stale();
    }

    /// Gives back jobs that were claimed ahead if every thread is busy with a long one.
    fn give_back_stale(&mut self) {
        let pool = &self.pool;
        if pool.ready().is_empty() {
            self.state.waiting_since = None;
            return;
        }
        let started = pool.started();
        match self.state.waiting_since {
            Some((since, before)) if before == started => {
                if since.elapsed() >= STALE {
                    pool.assume_long_jobs(STALE);
                    let back = pool.take_back(|_| true);
                    pool.put_results_back(back);
                    self.state.waiting_since = None;
                }
            }
            _ => self.state.waiting_since = Some((Instant::now(), started)),
        }
    }

    /// How many jobs may be claimed now.
    fn room(&self) -> usize {
        let capacity = self.state.prefetch.capacity(self.pool.threads, self.pool.prefetch, self.pool.job_time());
        capacity.saturating_sub(self.pool.in_flight())
    }

    fn is_due(&self) -> bool {
        let now = crate::util::to_millis(self.pool.core.clock.system_time());
        self.state.next_due.is_some_and(|due| due <= now)
    }

    /// One transaction: writes results and claims the next jobs.
    fn cycle(&mut self, ctx: &Context, worker: i64, most: usize) {
        let pool = &self.pool;
        // The commit of another process may have been its last.
        let rescue = self.state.rescue_at.is_some_and(|at| at <= Instant::now()) || self.state.check_cancels;
        let suspect = most > 0 && !pool.core.suspect_runs.swap(true, Ordering::AcqRel);
        self.state.turn = self.state.turn.wrapping_add(1);
        let cycle = Cycle {
            worker,
            backend: pool.core.backend.clone(),
            known: self.state.reconcile.then(|| pool.claimed_ids()),
            results: Arc::new(pool.take_results()),
            rescue,
            max_deaths: pool.core.settings.max_deaths,
            cancels: self.state.check_cancels,
            kinds: pool.kinds.clone(),
            queues: pool.queues.clone(),
            most,
            suspect,
            turn: self.state.turn,
        };
        let durable = !cycle.results.is_empty();
        let give_up = if self.pool.is_closing() { last_moment(ctx) } else { None };
        let (began, asked) = (Instant::now(), cycle.clone());
        let done = pool.core.write(CommitMode { durable, give_up }, move |work| asked.run(work));
        match done {
            Ok(cycled) => {
                self.state.prefetch.committed(began.elapsed());
                self.state.prune_needed |= durable;
                self.after(cycled, most, suspect);
            }
            Err(error) => {
                if suspect {
                    pool.core.suspect_runs.store(false, Ordering::Release);
                }
                let results = Arc::try_unwrap(cycle.results).unwrap_or_else(|shared| (*shared).clone());
                pool.put_results_back(results);
                self.failed(ctx, &error);
            }
        }
    }

    /// Takes up what a transaction has brought.
    fn after(&mut self, cycled: CycleResult, most: usize, suspect: bool) {
        let (pool, state) = (&self.pool, &mut self.state);
        if suspect && !cycled.jobs.iter().any(|job| job.lost > 0) {
            pool.core.suspect_runs.store(false, Ordering::Release);
        }
        if std::mem::take(&mut state.failing) {
            log::info!(target: "hosted_jobs::store", "the store works again");
        }
        state.retry = RETRY.0;
        state.reconcile = false;
        state.check_cancels = false;
        // Fewer than wanted: there are no more. Nothing wanted: nothing is known.
        state.may_have_ready = most == 0 || cycled.jobs.len() >= most;
        state.next_due = cycled.next_due;
        state.rescue_at = cycled.others_run_jobs.then(|| Instant::now() + RESCUE_PERIOD);
        state.rechecks.restart();
        cycled.lost.iter().for_each(|id| pool.lost(*id));
        pool.cancel(&cycled.cancelled);
        pool.hand_out(cycled.jobs);
        if !cycled.pauses.is_empty() {
            let back = pool.take_back(|job| is_paused(job, &cycled.pauses));
            pool.put_results_back(back);
        }
    }

    /// The store has failed: the same again, a little later.
    fn failed(&mut self, ctx: &Context, error: &StoreError) {
        let state = &mut self.state;
        if !std::mem::replace(&mut state.failing, true) {
            log::warn!(target: "hosted_jobs::store", "{error}; trying again");
            self.pool.core.emit(0, "", JobEventKind::StoreFailed { error: error.to_string() });
        }
        state.reconcile = true;
        state.may_have_ready = true;
        let wait = random_between(state.retry.as_micros() as u64 / 2, state.retry.as_micros() as u64);
        state.retry = (state.retry * 2).min(RETRY.1);
        let until_stop = !ctx.stop_requested();
        self.pool.bell.wait(ctx, until_stop, Duration::MAX, Duration::from_micros(wait));
    }

    /// Deletes old jobs, some at a time. Returns `true` if it did something.
    fn housekeeping(&mut self, ctx: &Context, stopping: bool) -> bool {
        let now = Instant::now();
        if stopping || !self.state.prune_needed || self.state.prune_at.is_some_and(|at| at > now) {
            return false;
        }
        let keep = self.pool.core.settings.retention;
        match self.pool.core.write(CommitMode { durable: false, give_up: None }, move |work| prune(work, &keep)) {
            // There are more. Other writers have their turn first.
            Ok((_, true)) => self.pool.bell.wait(ctx, true, Duration::MAX, PRUNE_PAUSE),
            Ok((_, false)) => {
                self.state.prune_needed = false;
                self.state.prune_at = Some(now + PRUNE_PERIOD);
                self.check_log();
            }
            Err(error) => {
                log::debug!(target: "hosted_jobs::store", "cannot delete old jobs: {error}");
                self.state.prune_at = Some(now + PRUNE_PERIOD);
            }
        }
        true
    }

    /// Empties a large log. It stays large only if somebody reads from it.
    fn check_log(&self) {
        let backend = &self.pool.core.backend;
        let large = || backend.log_size().filter(|size| *size > LARGE_LOG);
        if large().is_none() {
            return;
        }
        backend.empty_log();
        if let Some(size) = large() {
            log::warn!(
                target: "hosted_jobs::store",
                "the write-ahead log of the database has {} MiB, and a read transaction that is open prevents that it is \
                 emptied; close transactions soon, also those of other processes",
                size >> 20
            );
        }
    }

    /// Waits for a ring, for the next due time, or for the next check of other processes.
    fn wait(&mut self, ctx: &Context, stopping: bool) {
        let mut real = Duration::MAX;
        let mut rechecks = false;
        if !stopping && self.pool.core.backend.is_shared() {
            if self.state.rechecks.is_first() {
                // From now on the watcher may wake this thread. This check covers what it has seen before.
                let _ = self.pool.watch_requests.0.try_send(());
            }
            if let Some(time) = self.state.rechecks.next() {
                (real, rechecks) = (time, true);
            }
        }
        for at in [self.state.rescue_at, self.state.prune_at.filter(|_| self.state.prune_needed)].into_iter().flatten()
        {
            real = real.min(at.saturating_duration_since(Instant::now()));
        }
        if self.state.waiting_since.is_some() {
            real = real.min(STALE);
        }
        if stopping {
            let end = last_moment(ctx).map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
            real = real.min(end.max(Duration::from_millis(1)));
        }
        let by_clock = self.time_to_next_due();
        self.pool.bell.wait(ctx, !ctx.stop_requested(), by_clock, real);
        if rechecks && self.state.rechecks.saw(self.pool.core.backend.foreign_commits()) {
            self.state.may_have_ready = true;
            self.state.check_cancels = true;
        }
    }

    fn time_to_next_due(&self) -> Duration {
        let Some(due) = self.state.next_due else { return Duration::MAX };
        let now = crate::util::to_millis(self.pool.core.clock.system_time());
        Duration::from_millis((due - now).max(0).unsigned_abs()).min(LONGEST_SLEEP)
    }

    /// The last transaction: results, what no thread has started, and the end of this worker.
    fn sign_off(&mut self, ctx: &Context) {
        let Some(registration) = self.registration.take() else { return };
        let mut results: Vec<CompletedRun> = self.pool.finish();
        results.extend(self.pool.take_back(|_| true));
        let running = self.pool.in_flight() > 0;
        registration.sign_off(&self.pool.core, results, running, last_moment(ctx));
    }
}

/// The moment at which the last transaction must begin.
fn last_moment(ctx: &Context) -> Option<Instant> {
    let deadline = ctx.stop_deadline()?;
    let left = deadline.saturating_duration_since(Instant::now());
    let reserve = (left / LAST_WRITE_PART).clamp(LAST_WRITE.0, LAST_WRITE.1);
    deadline.checked_sub(reserve.min(left))
}

fn is_late(ctx: &Context) -> bool {
    ctx.stop_deadline().is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= LAST_WRITE.0)
}

impl Service for Writer {
    fn start(&mut self, _: &Context) -> Result {
        let registration = Registration::new(&self.pool.core, &self.pool.handlers, self.pool.threads)?;
        self.pool.set_life(registration.life());
        self.registration = Some(registration);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let Some(worker) = self.registration.as_ref().map(Registration::id) else {
            return Err("the writer runs only after its start".into());
        };
        let pool = self.pool.clone();
        let _wakes = ctx.on_stop(move || pool.bell.ring());
        self.work(ctx, worker);
        Ok(())
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.sign_off(ctx);
        Ok(())
    }
}
