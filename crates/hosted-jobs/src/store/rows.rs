//! The values that go into a store and come out of it.

use crate::state::{Outcome, State};
use crate::util::Millis;

/// How many jobs with one key may be ready or running at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) key: String,
    pub(crate) most: u32,
}

/// For which due time of which schedule a job was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) schedule: String,
    pub(crate) due_at: Millis,
    pub(crate) missed: u32,
}

/// A unique key in the store, and how long a job keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UniqueKey {
    pub(crate) key: Vec<u8>,
    /// `true`: the job keeps the key to its end. `false`: until it is claimed.
    pub(crate) until_finished: bool,
}

/// A job that is to be stored.
#[derive(Clone, Debug)]
pub(crate) struct NewJob {
    pub(crate) queue: String,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) priority: i32,
    pub(crate) max_failures: u32,
    pub(crate) state: State,
    pub(crate) run_at: Millis,
    pub(crate) created_at: Millis,
    pub(crate) unique: Option<UniqueKey>,
    pub(crate) limit: Option<Limit>,
    pub(crate) occurrence: Option<Occurrence>,
    pub(crate) payload: Vec<u8>,
}

/// The live job that holds a unique key.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    pub(crate) id: i64,
    pub(crate) state: State,
    pub(crate) limit_key: Option<String>,
}

/// Who may change a running job: the worker that claimed it, by the number of that claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) id: i64,
    pub(crate) claim: i64,
    pub(crate) worker: i64,
}

/// A kind of job in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KindVersion {
    pub(crate) kind: String,
    pub(crate) version: u32,
}

/// Which jobs a worker takes.
pub(crate) struct ClaimQuery<'a> {
    pub(crate) worker: i64,
    pub(crate) queue: &'a str,
    pub(crate) kinds: &'a [KindVersion],
    /// `false`: jobs under which no process has died. `true`: only the others.
    pub(crate) suspects: bool,
    pub(crate) most: usize,
    pub(crate) now: Millis,
}

/// A job that a worker has taken.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) fence: Fence,
    pub(crate) queue: String,
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) priority: i32,
    pub(crate) failed: u32,
    pub(crate) lost: u32,
    pub(crate) max_failures: u32,
    pub(crate) created_at: Millis,
    pub(crate) payload: Vec<u8>,
    pub(crate) occurrence: Option<Occurrence>,
}

/// How a job ends.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) outcome: Outcome,
    pub(crate) now: Millis,
    /// Added to the count of failures.
    pub(crate) failed: u32,
    /// Added to the count of processes that died under the job.
    pub(crate) lost: u32,
    /// Replaces the error if it is `Some`.
    pub(crate) error: Option<String>,
    pub(crate) output: Option<Vec<u8>>,
    /// Whether the worker that holds the job ends it, and not somebody else.
    pub(crate) by_worker: bool,
}

impl End {
    pub(crate) fn by_worker(outcome: Outcome, now: Millis) -> Self {
        End { outcome, now, failed: 0, lost: 0, error: None, output: None, by_worker: true }
    }

    pub(crate) fn from_outside(outcome: Outcome, now: Millis) -> Self {
        End { by_worker: false, ..End::by_worker(outcome, now) }
    }

    /// The payload is kept if somebody may want to run the job again.
    pub(crate) fn keeps_payload(&self) -> bool {
        self.outcome != Outcome::Succeeded
    }
}

/// How a running job goes back.
#[derive(Clone, Debug)]
pub(crate) struct PutBack {
    pub(crate) state: State,
    /// `None` keeps the time.
    pub(crate) run_at: Option<Millis>,
    pub(crate) failed: u32,
    pub(crate) lost: u32,
    /// Replaces the error if it is `Some`.
    pub(crate) error: Option<String>,
}

/// What a job had when it left its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReleasedPlace {
    pub(crate) limit_key: Option<String>,
}

/// What is paused.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pause {
    Queue(String),
    Kind(String),
}

/// A process that runs jobs.
#[derive(Clone, Debug)]
pub(crate) struct WorkerRow {
    pub(crate) id: i64,
    pub(crate) pid: u32,
    pub(crate) host: String,
    pub(crate) started_at: Millis,
    /// The kinds that it handles, with the newest version of each, as JSON.
    pub(crate) kinds: String,
    /// It was stopping in order: what it still holds costs nothing.
    pub(crate) stopping: bool,
}

/// A job that a worker holds.
#[derive(Clone, Debug)]
pub(crate) struct RunningJob {
    pub(crate) fence: Fence,
    pub(crate) kind: String,
    pub(crate) lost: u32,
    pub(crate) stop_wanted: bool,
}

/// A recurring job.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScheduleRow {
    pub(crate) name: String,
    pub(crate) program: String,
    /// The text of the schedule: `@every 30000` in milliseconds, or a cron expression with its time zone.
    pub(crate) spec: String,
    /// `once`, `skip` or `all N`.
    pub(crate) misfire: String,
    /// The job to enqueue, without its payload, as JSON.
    pub(crate) template: String,
    pub(crate) payload: Vec<u8>,
    /// `None`: never due again.
    pub(crate) next_at: Option<Millis>,
    pub(crate) last_at: Option<Millis>,
    /// Due times that made no job, and that no job has counted in `missed` yet.
    pub(crate) missed: u32,
    pub(crate) paused: bool,
    /// Why the schedule does not fire.
    pub(crate) error: Option<String>,
}

/// The step of a schedule from one due time to the next.
#[derive(Clone, Debug)]
pub(crate) struct Advance {
    pub(crate) seen: Millis,
    pub(crate) next_at: Option<Millis>,
    pub(crate) last_at: Option<Millis>,
    pub(crate) missed: u32,
}
