//! Where jobs are kept. The traits [`Backend`] and [`Tx`] are everything that a store has to offer.
//!
//! A store knows rows and steps between states. What the steps mean (uniqueness, limits, retries, rescue, schedules)
//! stands once, in [`rules`](crate::rules), above every store. Each method of `Tx` is a handful of statements; none of
//! them calls user code.

mod memory;
mod rows;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

pub(crate) use memory::MemoryStore;
pub(crate) use rows::{
    Advance, ClaimQuery, Claimed, End, Fence, Holder, KindVersion, Limit, NewJob, Occurrence, Pause, PutBack,
    ReleasedPlace, RunningJob, ScheduleRow, UniqueKey, WorkerRow,
};

use crate::error::StoreError;
use crate::info::{Filter, JobInfo, QueueStats, WaitingKind};
use crate::state::Outcome;
use crate::util::Millis;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What every method of a store returns.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What runs inside a transaction. It may run more than once: the store rolls back and tries again.
pub(crate) type Body<'a> = &'a mut dyn FnMut(&mut dyn Tx) -> Result<()>;

/// What runs inside a read transaction.
pub(crate) type ReadBody<'a> = &'a mut dyn FnMut(&mut dyn ReadTx) -> Result<()>;

/// How a write transaction is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteMode {
    /// The commit must survive a power failure, if the store is set to that.
    pub(crate) durable: bool,
    /// Give up waiting for other writers at this moment.
    pub(crate) give_up: Instant,
}

/// A store of jobs.
pub(crate) trait Backend: Send + Sync + 'static {
    /// Runs `body` in a write transaction. Only one runs at a time. An error of `body` rolls it back.
    ///
    /// The transaction holds the write lock from its beginning, so what `body` reads stays true until the commit.
    fn write(&self, mode: WriteMode, body: Body<'_>) -> Result<()>;

    /// Runs `body` in a read transaction, beside writers.
    fn read(&self, body: ReadBody<'_>) -> Result<()>;

    /// Announces that this process lives, with room for `threads` running jobs. It is alive as long as the returned
    /// value exists.
    fn announce(&self, worker: i64, threads: usize) -> Result<Arc<dyn Life>>;

    /// Returns `true` if the process of `worker` is certainly dead.
    fn is_dead(&self, worker: i64) -> bool;

    /// Returns the jobs that a dead worker had started and not ended. Returns `None` if that is not known.
    fn started_by(&self, worker: i64) -> Option<Vec<i64>>;

    /// Removes what is left of a dead worker outside of the tables.
    fn forget(&self, worker: i64);

    /// Returns a number that changes when another process, or another connection of this one, has committed.
    /// Returns `None` if the answer would have to wait.
    fn foreign_commits(&self) -> Option<i64>;

    /// Returns `true` if other processes may use the store.
    fn is_shared(&self) -> bool {
        true
    }

    /// Returns what becomes readable when somebody writes. `None`: check from time to time.
    fn watch(&self) -> Watch;

    /// How long to wait for a locked store.
    fn busy_limit(&self) -> Duration;

    /// Returns the size of the write-ahead log, if the store has one.
    fn log_size(&self) -> Option<u64> {
        None
    }

    /// Empties the write-ahead log, unless a reader or a writer needs it at this moment.
    fn empty_log(&self) {}

    /// The store's own type, for operations that only one store offers.
    fn as_any(&self) -> &dyn Any;
}

/// The sign that a worker is alive. Others can see it, and lose it when the process dies.
pub(crate) trait Life: Send + Sync {
    /// Marks that a thread has started this job, or none. If the process dies, others know which jobs were running, and
    /// which were only claimed.
    fn mark_started(&self, thread: usize, job: Option<i64>);
}

/// How a process learns of the commits of others.
pub(crate) enum Watch {
    /// Nobody else can write.
    Alone,
    /// This descriptor becomes readable when somebody writes. A check must follow, and a few more soon after.
    #[cfg(all(feature = "sqlite", target_os = "linux"))]
    Descriptor(std::os::fd::OwnedFd),
    /// Look this often.
    #[cfg(feature = "sqlite")]
    Poll(Duration),
}

/// The steps that a transaction is made of. Every step that changes a running job names its [`Fence`].
pub(crate) trait Tx: ReadTx {
    // Taking in.

    /// Stores a job. Returns `None` if another live job has its unique key or its occurrence.
    fn insert(&mut self, job: &NewJob) -> Result<Option<i64>>;
    fn unique_holder(&mut self, key: &[u8]) -> Result<Option<Holder>>;
    /// Replaces the data, time and limits of a waiting job. Returns `false` if it is not waiting.
    fn replace(&mut self, id: i64, job: &NewJob) -> Result<bool>;
    /// Takes a key until `until`. Returns `false` if somebody has it beyond `now`.
    fn take_once(&mut self, key: &[u8], until: Millis, now: Millis) -> Result<bool>;
    fn set_once_job(&mut self, key: &[u8], id: i64) -> Result<()>;
    fn once_job(&mut self, key: &[u8]) -> Result<Option<i64>>;

    // Becoming ready.

    /// Makes up to `most` scheduled jobs ready, or arrived if they have a limit key.
    fn promote_due(&mut self, now: Millis, most: usize) -> Result<usize>;
    /// Returns the limit keys of arrived jobs, each once, of at most `most` jobs.
    fn arrived_keys(&mut self, most: usize) -> Result<Vec<String>>;
    fn hold_arrived(&mut self, key: &str) -> Result<()>;
    /// Returns how many jobs of the key are ready or running, and the smallest limit among them.
    fn limit_usage(&mut self, key: &str) -> Result<(u32, Option<u32>)>;
    /// Returns the first held job of the key, by priority and id, and its limit.
    fn first_held(&mut self, key: &str) -> Result<Option<(i64, u32)>>;
    fn make_ready(&mut self, id: i64) -> Result<()>;

    // Claiming.

    /// Returns the queues that have ready jobs.
    fn ready_queues(&mut self) -> Result<Vec<String>>;
    /// Takes ready jobs, ordered by priority and id.
    fn claim(&mut self, query: &ClaimQuery<'_>) -> Result<Vec<Claimed>>;

    // Running.

    fn holds_claim(&mut self, fence: &Fence) -> Result<bool>;
    fn set_progress(&mut self, fence: &Fence, progress: &[u8]) -> Result<bool>;
    /// Ends a running job. Returns `None`, and changes nothing, if the fence does not hold.
    fn finish(&mut self, fence: &Fence, end: &End) -> Result<Option<ReleasedPlace>>;
    /// Returns `true` if somebody wants the running job to end.
    fn cancel_requested(&mut self, fence: &Fence) -> Result<bool>;
    /// Puts a running job back. Returns `None`, and changes nothing, if the fence does not hold.
    fn put_back(&mut self, fence: &Fence, how: &PutBack) -> Result<Option<ReleasedPlace>>;
    /// Returns `true` if the job was ended by this very claim. The answer to a commit whose own answer was lost.
    fn finished_by(&mut self, fence: &Fence) -> Result<bool>;

    // From outside.

    /// Ends a waiting job. Returns `None`, and changes nothing, if it is not waiting.
    fn finish_waiting(&mut self, id: i64, end: &End) -> Result<Option<ReleasedPlace>>;
    /// Asks the worker of a running job to stop it. Returns `false` if it is not running.
    fn request_cancel(&mut self, id: i64) -> Result<bool>;
    /// Makes a dead or cancelled job live again, as new. Returns `false` if there is none.
    fn revive(&mut self, id: i64, now: Millis) -> Result<bool>;
    /// Deletes a finished job. Returns `false` if there is none.
    fn delete_finished(&mut self, id: i64) -> Result<bool>;
    fn set_pause(&mut self, pause: &Pause, paused: bool) -> Result<()>;

    // Workers.

    fn add_worker(&mut self, worker: &WorkerRow) -> Result<()>;
    fn remove_worker(&mut self, id: i64) -> Result<()>;
    fn mark_stopping(&mut self, id: i64) -> Result<()>;

    // Schedules.

    fn put_schedule(&mut self, row: &ScheduleRow) -> Result<()>;
    fn delete_schedule(&mut self, name: &str) -> Result<()>;
    /// Moves a schedule on. Returns `false` if somebody else has moved it since it was read.
    fn advance_schedule(&mut self, name: &str, step: &Advance) -> Result<bool>;
    fn set_schedule_missed(&mut self, name: &str, missed: u32) -> Result<()>;
    fn set_schedule_error(&mut self, name: &str, error: Option<&str>) -> Result<()>;
    fn set_schedule_paused(&mut self, name: &str, paused: bool, next_at: Option<Millis>) -> Result<bool>;

    // Housekeeping.

    fn set_meta(&mut self, key: &str, value: &str) -> Result<()>;
    /// Deletes up to `most` jobs that ended with `outcome` before `before`, the oldest first.
    fn prune(&mut self, outcome: Outcome, before: Millis, most: usize) -> Result<usize>;
    /// Deletes up to `most` keys of `within` that have expired.
    fn prune_once(&mut self, now: Millis, most: usize) -> Result<usize>;
}

/// The questions that a transaction may ask.
pub(crate) trait ReadTx {
    /// The present by the store's clock.
    fn now(&mut self) -> Result<Millis>;
    fn pauses(&mut self) -> Result<Vec<Pause>>;
    /// Returns when the next scheduled job is due.
    fn next_run_at(&mut self) -> Result<Option<Millis>>;
    /// Returns when the next schedule is due.
    fn next_schedule_at(&mut self) -> Result<Option<Millis>>;
    fn workers(&mut self) -> Result<Vec<WorkerRow>>;
    /// Returns the jobs that the worker holds.
    fn running_jobs(&mut self, worker: i64) -> Result<Vec<RunningJob>>;
    /// Returns `true` if another worker holds a job.
    fn others_run_jobs(&mut self, worker: i64) -> Result<bool>;
    fn schedules(&mut self) -> Result<Vec<ScheduleRow>>;
    fn meta(&mut self, key: &str) -> Result<Option<String>>;

    fn job(&mut self, id: i64) -> Result<Option<JobInfo>>;
    fn jobs(&mut self, filter: &Filter) -> Result<Vec<JobInfo>>;
    fn queue_stats(&mut self) -> Result<Vec<QueueStats>>;
    fn waiting_kinds(&mut self) -> Result<Vec<WaitingKind>>;
    fn finished_count(&mut self, outcome: Outcome) -> Result<u64>;
}
