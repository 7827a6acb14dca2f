//! What the store knows about jobs, queues and processes.

use crate::state::{Outcome, State};
use crate::util::Millis;
use crate::util::from_millis;
use serde::de::DeserializeOwned;
use std::fmt;
use std::time::SystemTime;

/// The state of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobState {
    /// Waits for its time: a delay, a backoff, a snooze.
    Scheduled,
    /// Waits for a thread.
    Ready,
    /// Waits for room under its limit key.
    Held,
    /// Runs.
    Running,
    /// Has ended.
    Finished(Outcome),
}

impl JobState {
    /// Returns `true` if the job has ended.
    pub fn is_finished(self) -> bool {
        matches!(self, JobState::Finished(_))
    }
}

impl From<State> for JobState {
    fn from(state: State) -> Self {
        match state {
            State::Scheduled => JobState::Scheduled,
            State::Ready => JobState::Ready,
            State::Running => JobState::Running,
            State::Held | State::Arrived => JobState::Held,
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            JobState::Scheduled => "scheduled",
            JobState::Ready => "ready",
            JobState::Held => "held",
            JobState::Running => "running",
            JobState::Finished(Outcome::Succeeded) => "succeeded",
            JobState::Finished(Outcome::Dead) => "dead",
            JobState::Finished(Outcome::Cancelled) => "cancelled",
        })
    }
}

/// What the store knows of a job.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct JobInfo {
    /// The id.
    pub id: i64,
    /// The kind.
    pub kind: String,
    /// The version of the payload.
    pub version: u32,
    /// The queue.
    pub queue: String,
    /// The priority.
    pub priority: i32,
    /// The state.
    pub state: JobState,
    /// Failures so far.
    pub failures: u32,
    /// After how many failures the job is dead.
    pub max_failures: u32,
    /// Processes that died while the job ran.
    pub lost: u32,
    /// How often a worker has taken the job.
    pub claims: i64,
    /// The worker that runs the job.
    pub worker: Option<i64>,
    /// The limit key.
    pub limit_key: Option<String>,
    /// The schedule that made the job.
    pub schedule: Option<String>,
    /// The last error.
    pub error: Option<String>,
    /// The payload. Not kept for a job that succeeded.
    pub payload: Option<Vec<u8>>,
    pub(crate) progress: Option<Vec<u8>>,
    pub(crate) output: Option<Vec<u8>>,
    pub(crate) created_at: Millis,
    pub(crate) run_at: Option<Millis>,
    pub(crate) started_at: Option<Millis>,
    pub(crate) finished_at: Option<Millis>,
    pub(crate) due_at: Option<Millis>,
}

impl JobInfo {
    /// Returns when the job was enqueued.
    pub fn created_at(&self) -> SystemTime {
        from_millis(self.created_at)
    }

    /// Returns the time before which the job does not start. Returns `None` if it has ended.
    pub fn run_at(&self) -> Option<SystemTime> {
        self.run_at.map(from_millis)
    }

    /// Returns when the job was last taken by a worker.
    pub fn started_at(&self) -> Option<SystemTime> {
        self.started_at.map(from_millis)
    }

    /// Returns when the job ended.
    pub fn finished_at(&self) -> Option<SystemTime> {
        self.finished_at.map(from_millis)
    }

    /// Returns the due time of a job that a schedule made.
    pub fn due_at(&self) -> Option<SystemTime> {
        self.due_at.map(from_millis)
    }

    /// Returns what the job left with [`JobContext::output`](crate::JobContext::output), if it has that type.
    pub fn output<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.output.as_deref()?).ok()
    }

    /// Returns the last checkpoint of the job, if it has that type.
    pub fn progress<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.progress.as_deref()?).ok()
    }
}

/// Which jobs [`Jobs::list`](crate::Jobs::list) returns. The default is the 100 oldest live jobs.
///
/// ```
/// use hosted_jobs::{Filter, Outcome};
///
/// let dead_mails = Filter::finished(Outcome::Dead).kind("mail.send").limit(20);
/// # let _ = dead_mails;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Filter {
    pub(crate) states: Vec<State>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) queue: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) after: i64,
    pub(crate) limit: usize,
}

impl Filter {
    const DEFAULT_LIMIT: usize = 100;

    /// Selects live jobs, ordered by id.
    pub fn live() -> Self {
        Filter {
            states: State::ALL.to_vec(),
            outcome: None,
            queue: None,
            kind: None,
            after: 0,
            limit: Self::DEFAULT_LIMIT,
        }
    }

    /// Selects the jobs in a state, ordered by id.
    pub fn state(state: JobState) -> Self {
        match state {
            JobState::Finished(outcome) => Filter::finished(outcome),
            state => {
                let states = State::ALL.into_iter().filter(|&other| JobState::from(other) == state).collect();
                Filter { states, ..Filter::live() }
            }
        }
    }

    /// Selects finished jobs, ordered by id.
    pub fn finished(outcome: Outcome) -> Self {
        Filter { states: Vec::new(), outcome: Some(outcome), ..Filter::live() }
    }

    /// Selects only jobs of this queue.
    pub fn queue(self, name: impl Into<String>) -> Self {
        Filter { queue: Some(name.into()), ..self }
    }

    /// Selects only jobs of this kind.
    pub fn kind(self, kind: impl Into<String>) -> Self {
        Filter { kind: Some(kind.into()), ..self }
    }

    /// Selects only jobs with a greater id: the next page.
    pub fn after(self, id: i64) -> Self {
        Filter { after: id, ..self }
    }

    /// Selects at most this many jobs. The default is 100.
    pub fn limit(self, jobs: usize) -> Self {
        Filter { limit: jobs, ..self }
    }
}

impl Default for Filter {
    fn default() -> Self {
        Self::live()
    }
}

/// What the store knows of a queue that has live jobs, or that is paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// The name.
    pub name: String,
    /// Jobs that wait for a thread.
    pub ready: u64,
    /// Jobs that wait for their time.
    pub scheduled: u64,
    /// Jobs that wait for room under their limit key.
    pub held: u64,
    /// Jobs that run.
    pub running: u64,
    /// Whether the queue is paused.
    pub paused: bool,
    pub(crate) oldest_ready: Option<Millis>,
    pub(crate) next_due: Option<Millis>,
}

impl QueueStats {
    /// Returns when the oldest of the ready jobs was enqueued.
    pub fn oldest_ready(&self) -> Option<SystemTime> {
        self.oldest_ready.map(from_millis)
    }

    /// Returns when the next scheduled job is due.
    pub fn next_due(&self) -> Option<SystemTime> {
        self.next_due.map(from_millis)
    }

    pub(crate) fn count(&mut self, state: State) -> &mut u64 {
        match state {
            State::Scheduled => &mut self.scheduled,
            State::Ready => &mut self.ready,
            State::Running => &mut self.running,
            State::Held | State::Arrived => &mut self.held,
        }
    }
}

/// Jobs of one kind and version that wait for a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WaitingKind {
    /// The kind.
    pub kind: String,
    /// The version.
    pub version: u32,
    /// How many jobs are ready.
    pub ready: u64,
}

/// A process that runs jobs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The id of the worker: a random number per process start.
    pub id: i64,
    /// The id of the process.
    pub pid: u32,
    /// The name of the machine.
    pub host: String,
    /// The kinds that the process handles, with the newest version of each.
    pub kinds: Vec<(String, u32)>,
    /// Whether the process is stopping.
    pub stopping: bool,
    pub(crate) started_at: Millis,
}

impl WorkerInfo {
    /// Returns when the process began to run jobs.
    pub fn started_at(&self) -> SystemTime {
        from_millis(self.started_at)
    }
}

/// What [`Jobs::stats`](crate::Jobs::stats) returns.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The queues that have live jobs, or that are paused, by name.
    pub queues: Vec<QueueStats>,
    /// Dead jobs that are kept.
    pub dead: u64,
    /// Jobs that succeeded and are kept.
    pub succeeded: u64,
    /// Cancelled jobs that are kept.
    pub cancelled: u64,
    /// Processes that run jobs.
    pub workers: Vec<WorkerInfo>,
    /// Kinds that have ready jobs and that no process handles.
    pub unhandled: Vec<WaitingKind>,
    /// Kinds that are paused.
    pub paused_kinds: Vec<String>,
}

impl Stats {
    /// Returns the queue of that name.
    pub fn queue(&self, name: &str) -> Option<&QueueStats> {
        self.queues.iter().find(|queue| queue.name == name)
    }
}
