//! What happens to jobs, as events for listeners of this process.

use crate::state::Outcome;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Something that happened to a job, in this process.
///
/// The events of one job arrive in the order in which they were committed. See [`Jobs::events`](crate::Jobs::events).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobEvent {
    /// The id of the job. 0 for an event that concerns no job.
    pub id: i64,
    /// The kind of the job. For an event of a schedule, the name of the schedule.
    pub kind: Arc<str>,
    /// What happened.
    pub what: JobEventKind,
}

/// What happened to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobEventKind {
    /// This process stored the job.
    Enqueued,
    /// An enqueue with the same unique key replaced its data.
    Replaced,
    /// A thread of this process started the job.
    Started,
    /// The job ended.
    Finished(Outcome),
    /// The job failed, and waits for its next run.
    Failed {
        /// Failures so far.
        failures: u32,
        /// The time until the next run.
        retry_in: Duration,
        /// The error, cut at 8 KiB.
        error: String,
    },
    /// The job was snoozed.
    Snoozed {
        /// The time until the next run.
        wait: Duration,
    },
    /// The job came back unfinished because of a stop, or it was claimed and never started. Nothing is counted.
    HandedBack,
    /// The process that ran the job died. The job is ready again, or dead.
    Rescued {
        /// Processes that died while it ran.
        lost: u32,
    },
    /// This process ran the job without holding its claim any more. The result was discarded.
    LostClaim,
    /// A dead or cancelled job was made live again.
    Revived,
    /// A schedule made a job.
    Fired {
        /// Due times before this one that made no job.
        missed: u32,
    },
    /// A schedule does not fire, because of this error.
    ScheduleFailed {
        /// What is wrong.
        error: String,
    },
    /// The store failed. The library tries again.
    StoreFailed {
        /// What is wrong.
        error: String,
    },
    /// The receiver was too slow, and this many events were dropped.
    Lagged {
        /// The number of events.
        events: u64,
    },
}

impl fmt::Display for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let JobEvent { id, kind, what } = self;
        match what {
            JobEventKind::Enqueued => write!(f, "job {id} (`{kind}`) enqueued"),
            JobEventKind::Replaced => write!(f, "job {id} (`{kind}`) replaced"),
            JobEventKind::Started => write!(f, "job {id} (`{kind}`) started"),
            JobEventKind::Finished(Outcome::Succeeded) => write!(f, "job {id} (`{kind}`) succeeded"),
            JobEventKind::Finished(Outcome::Dead) => write!(f, "job {id} (`{kind}`) is dead"),
            JobEventKind::Finished(Outcome::Cancelled) => write!(f, "job {id} (`{kind}`) cancelled"),
            JobEventKind::Failed { failures, retry_in, error } => write!(
                f,
                "job {id} (`{kind}`) failed, {failures} times so far; next run in {:.1} s: {error}",
                retry_in.as_secs_f64()
            ),
            JobEventKind::Snoozed { wait } => {
                write!(f, "job {id} (`{kind}`) snoozed for {:.1} s", wait.as_secs_f64())
            }
            JobEventKind::HandedBack => write!(f, "job {id} (`{kind}`) handed back"),
            JobEventKind::Rescued { lost } => {
                write!(f, "job {id} (`{kind}`) rescued; its process died while it ran, {lost} times so far")
            }
            JobEventKind::LostClaim => write!(f, "job {id} (`{kind}`) ran without holding its claim; result discarded"),
            JobEventKind::Revived => write!(f, "job {id} (`{kind}`) is to run again"),
            JobEventKind::Fired { missed: 0 } => write!(f, "schedule `{kind}` fired job {id}"),
            JobEventKind::Fired { missed } => {
                write!(f, "schedule `{kind}` fired job {id}; {missed} due times before it were missed")
            }
            JobEventKind::ScheduleFailed { error } => write!(f, "schedule `{kind}` does not fire: {error}"),
            JobEventKind::StoreFailed { error } => write!(f, "the store failed: {error}"),
            JobEventKind::Lagged { events } => write!(f, "event subscriber lagged behind; {events} events dropped"),
        }
    }
}

/// How many events a listener may be behind.
const ROOM: usize = 1_024;

/// The listeners. Emitting never waits.
#[derive(Default)]
pub(crate) struct EventBus {
    listeners: Mutex<Vec<Listener>>,
    /// How many listeners there are, so that without one an event costs a load.
    count: AtomicUsize,
}

struct Listener {
    sender: Sender<JobEvent>,
    /// How many events found no room since the last that did.
    dropped: u64,
}

impl EventBus {
    pub(crate) fn subscribe(&self) -> Receiver<JobEvent> {
        let (sender, receiver) = bounded(ROOM);
        let mut listeners = self.listeners.lock();
        listeners.push(Listener { sender, dropped: 0 });
        self.count.store(listeners.len(), Ordering::Relaxed);
        receiver
    }

    pub(crate) fn emit(&self, event: &JobEvent) {
        // Relaxed: a listener receives what is emitted after `subscribe` has returned to whoever causes it.
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut listeners = self.listeners.lock();
        listeners.retain_mut(|listener| listener.send(event));
        self.count.store(listeners.len(), Ordering::Relaxed);
    }
}

impl Listener {
    /// Returns `false` if nobody listens any more.
    fn send(&mut self, event: &JobEvent) -> bool {
        let lagged = JobEventKind::Lagged { events: self.dropped };
        let lagged = (self.dropped > 0).then(|| JobEvent { id: 0, kind: Arc::from(""), what: lagged });
        for event in lagged.into_iter().chain([event.clone()]) {
            match self.sender.try_send(event) {
                Ok(()) => self.dropped = 0,
                Err(TrySendError::Full(_)) => {
                    self.dropped += 1;
                    break; // nothing may overtake the event that says what is missing
                }
                Err(TrySendError::Disconnected(_)) => return false,
            }
        }
        true
    }
}
