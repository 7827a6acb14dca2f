//! `Outcome`: how a service ended. `BlockedThread`: the thread of a service that did not end.

use super::error::{Phase, ServiceError};
use crate::diagnose::clause;
use crate::util::text::{Escaped, HumanDuration};
use std::fmt;
use std::time::Duration;

/// How a service ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The host never called `start`.
    NeverStarted,
    /// The service has not ended. This occurs only in the error of a second start of a running host.
    Running,
    /// The service returned `Ok` without a stop request.
    Completed,
    /// The service stopped on request.
    Stopped,
    /// The service had failed with this error, and was waiting for its restart or starting again when the stop was requested.
    ///
    /// `run` was not called again, so the service may still hold work that it had accepted. The host does not count this as a
    /// failure. With [`Restart::finish_on_stop`](crate::Restart::finish_on_stop) the service gets one last run.
    NotRestarted(ServiceError),
    /// The service failed and was not restarted. This is its first failure; the error of the host has all failures.
    Failed(ServiceError),
    /// The thread of the service is still alive.
    Hung(BlockedThread),
}

impl Outcome {
    /// Returns the text for the table of a report.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Outcome::NeverStarted => "never started",
            Outcome::Running => "running",
            Outcome::Completed => "completed",
            Outcome::Stopped => "stopped",
            Outcome::NotRestarted(_) => "not restarted",
            Outcome::Failed(_) => "failed",
            Outcome::Hung(_) => "hung",
        }
    }
}

/// The thread of a service that did not end in time, or that is [stalled](crate::EventKind::Stalled). The library never kills a
/// thread, so the thread may still be alive.
///
/// `Display` prints all fields on one line.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockedThread {
    /// The phase that the thread is in.
    pub phase: Phase,
    /// The time since the stop request, or since the latest sign of life of a stalled service.
    pub waited: Duration,
    /// The name of the thread, and on Linux the thread ID as shown by `gdb`, `top -H` and `/proc`.
    pub thread: String,
    /// What the thread is blocked in, on Linux: the system call, its descriptors, and for how long at least. A thread that is
    /// not blocked is `running`. `None` if this is not known.
    pub blocked_in: Option<String>,
}

impl BlockedThread {
    /// Returns the text for a thread of a stalled service.
    pub(crate) fn without_life(&self) -> String {
        let blocked =
            self.blocked_in.as_deref().map(|call| format!(" is {}", Escaped(&clause(call)))).unwrap_or_default();
        format!("no sign of life for {}; thread {}{blocked}", HumanDuration(self.waited), Escaped(&self.thread))
    }
}

impl fmt::Display for BlockedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BlockedThread { phase, waited, thread, .. } = self;
        write!(f, "thread {} still in {} after {}", Escaped(thread), phase.place(), HumanDuration(*waited))?;
        match &self.blocked_in {
            Some(call) => write!(f, ", {}", Escaped(&clause(call))),
            None => Ok(()),
        }
    }
}
