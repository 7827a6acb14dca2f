//! The parts of a [record](super::record): how far the start, the run and the stop of a service have come.

use super::deadline::{DeadlineSources, DeadlineWatchers};
use super::stalls::Watch;
use crate::diagnose::ThreadProbe;
use crate::report::BlockedThread;
use crate::util::sync::{Arc, Caller};
use std::time::{Duration, Instant};

/// The progress of a service. See the diagram at the top of `record.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    NotStarted,
    /// The thread exists. `start` is in progress, or about to be called.
    Starting,
    /// `run` is in progress.
    Running,
    /// `run` has ended. `stop` is in progress, or about to be called.
    CleaningUp {
        restarts: bool,
    },
    /// Waiting for the next start.
    BackingOff,
    /// The value of the service is being dropped.
    Dropping,
    Exited(Exit),
    Joined(Exit),
}

/// The exit of a service that did not fail; of a failed service only the time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) at: Instant,
    pub(super) kind: ExitKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExitKind {
    Completed,
    Stopped,
    NotRestarted,
}

/// How far the first start has come.
#[derive(Default)]
pub(super) struct StartProgress {
    /// When the thread was created.
    pub(super) began: Option<Instant>,
    /// By when the first start must have returned.
    pub(super) limit: Option<StartLimit>,
    /// How long the first start took. `None` until it has returned `Ok` in time.
    pub(super) took: Option<Duration>,
    /// The start of the host no longer waits for the service.
    pub(super) resolved: bool,
    /// The service missed its start timeout.
    pub(super) timed_out: bool,
}

/// How far the stop of the service has come.
#[derive(Default)]
pub(super) struct StopProgress {
    pub(super) requested: Option<Instant>,
    /// By when the service should have stopped.
    pub(super) deadline: Option<Instant>,
    /// Until when the shutdown waits for the service: the same for every service of the outermost host.
    pub(super) end: Option<Instant>,
    /// For contexts that are stopped at the deadline, or a lead before it.
    pub(super) sources: DeadlineSources,
    /// For code that waits until the deadline.
    pub(super) watchers: DeadlineWatchers,
    /// A dependency that was alive received its stop request before the service had stopped.
    pub(super) timed_out: bool,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) restarts: u32,
    pub(super) errors: u64,
    pub(super) ticks_missed: u64,
    pub(super) last_error: Option<String>,
}

/// The threads that run code of the service.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) own: Option<ThreadProbe>,
    /// The service's own thread has run its thread-local destructors.
    pub(super) ended: bool,
    /// The thread that runs the stop callbacks.
    pub(super) callbacks: Option<CallbackThread>,
    /// The calls of repeating stop callbacks that are in progress.
    pub(super) repeating: Vec<(Caller, CallbackThread)>,
    /// If the service is watched for stalls, until it has exited.
    pub(super) watch: Option<Arc<Watch>>,
    /// The threads whose connection was closed.
    pub(super) disconnected: Vec<BlockedThread>,
}

pub(super) struct CallbackThread {
    pub(super) thread: Option<ThreadProbe>,
    pub(super) since: Instant,
}

/// How long a first start may take.
#[derive(Clone, Copy)]
pub(crate) struct StartLimit {
    pub(crate) at: Instant,
    pub(crate) limit: Duration,
    /// The limit is that of the whole host. Then the failure counts, even if failures of the service are ignored.
    pub(crate) of_host: bool,
}

/// The part of a member's record that other services do not have.
#[derive(Clone, Debug)]
pub(super) struct MemberRecord {
    /// The name that the member was added with.
    pub(super) name: Arc<str>,
    /// The members of a group are shown in the order of this number.
    pub(super) number: u64,
    pub(super) life: Life,
    /// Somebody has a `MemberSlot` of this member.
    pub(super) has_slot: bool,
}

/// Whether lists show a member of a dynamic group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Something of the member is left: its thread, or a callback.
    Alive,
    /// The member has ended after there was a reason to stop: it stays in the report.
    Ended,
    /// The member has ended before. No list shows it.
    Forgotten,
}

impl MemberRecord {
    pub(super) fn is_alive(&self) -> bool {
        self.life == Life::Alive
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.life == Life::Forgotten
    }
}
