//! How a service ended: `Outcome`, and the thread of one that did not.

use super::error::ServiceError;
use crate::diagnose::clause;
use crate::util::text::{Escaped, HumanDuration};
use std::fmt;
use std::time::Duration;

/// How a service ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// Its `start` was never called.
    NeverStarted,
    /// It has not ended: only in the error of a second start of a host that runs.
    Running,
    /// It ended by itself, well.
    Completed,
    /// It ended on request.
    Stopped,
    /// It had failed with this error and was waiting to be restarted, or was starting again, when the stop was requested.
    ///
    /// `run` was not called again, so the service may still hold work that it had accepted. By itself this is not a failure of
    /// the host. With [`Restart::finish_on_stop`](crate::Restart::finish_on_stop) the service has one last run.
    NotRestarted(ServiceError),
    /// It failed for good. This is its first failure; the host's error has all of them.
    Failed(ServiceError),
    /// Its thread is still alive.
    Hung(BlockedThread),
}

impl Outcome {
    /// The word for a table.
    pub(crate) fn word(&self) -> &'static str {
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

/// A service whose thread did not end in time. Threads are never killed: it is still there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlockedThread {
    /// What it is in.
    pub phase: super::error::Phase,
    /// How long ago it was asked to end.
    pub waited: Duration,
    /// Its thread: the name, and on Linux the number by which `gdb`, `top -H` and `/proc` know it.
    pub thread: String,
    /// What the thread is blocked in: on Linux the system call, its descriptors and what they are, and since when at
    /// least; or that it is running.
    pub blocked_in: Option<String>,
}

impl fmt::Display for BlockedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BlockedThread { phase, waited, thread, .. } = self;
        write!(f, "thread {} is still in its {phase} after {}", Escaped(thread), HumanDuration(*waited))?;
        match &self.blocked_in {
            Some(call) => write!(f, ", {}", Escaped(&clause(call))),
            None => Ok(()),
        }
    }
}
