//! The words for how a host and its services are, and for how they ended.

use crate::diagnose::{ProcSnapshot, ThreadProbe};
use crate::util::sync::Arc;
use crate::util::text::Escaped;
use std::fmt;
use std::time::Instant;

/// Where a host is in its one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// Not started yet.
    New,
    /// In [`Host::start`](crate::Host::start).
    Starting,
    /// Every service has started, or has failed and is ignored.
    Started,
    /// A stop was requested, or something happened that requests it.
    Stopping,
    /// Stopped. Threads that did not end in time may be left; their services are [`ServiceState::Hung`].
    Stopped,
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceState {
    /// Not started yet: it waits for those it comes after.
    Waiting,
    /// In its `start`.
    Starting,
    /// In its `run`.
    Running,
    /// Between two runs: cleaning up the old one, or waiting for the next.
    Restarting,
    /// Asked to stop, or cleaning up.
    Stopping,
    /// Ended by itself, well.
    Completed,
    /// Ended on request.
    Stopped,
    /// Ended on request, after a failure and before a restart was ready.
    NotRestarted,
    /// Failed for good.
    Failed,
    /// Its thread did not end in time, and is alive. When the thread ends later, the state shows how the service ended, even
    /// if the host is gone.
    Hung,
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ServiceState::Waiting => "waiting",
            ServiceState::Starting => "starting",
            ServiceState::Running => "running",
            ServiceState::Restarting => "restarting",
            ServiceState::Stopping => "stopping",
            ServiceState::Completed => "completed",
            ServiceState::Stopped => "stopped",
            ServiceState::NotRestarted => "not restarted",
            ServiceState::Failed => "failed",
            ServiceState::Hung => "hung",
        })
    }
}

/// One service at one moment: a row of [`HostHandle::services`](crate::HostHandle::services).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its name; a group's children are `group/child`.
    pub name: Arc<str>,
    /// What it is doing.
    pub state: ServiceState,
    /// Since when, by the system's clock.
    pub since: Instant,
    /// How often it was started again.
    pub restarts: u32,
    /// How many errors it had: failed runs, and what it or its ticks and jobs reported.
    pub errors: u64,
    /// The latest of them, on one line, with what is_control_or_bidi a terminal escaped.
    pub last_error: Option<String>,
    /// What its thread is blocked in: on Linux, while it is starting, stopping or hung. At any other time
    /// [`blocked_now`](Self::blocked_now) tells.
    pub blocked_in: Option<String>,
    pub(crate) thread: Option<ThreadProbe>,
}

impl ServiceStatus {
    /// Returns what the service's thread is blocked in now, in any state. `None`: the service has no thread (any more), or
    /// the system is not Linux, or `/proc` cannot be read.
    ///
    /// `recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)`, `futex (a lock, condvar or channel)`, `running`. Waits of
    /// this library are named: `waiting for the stop`, `waiting for a job`, `waiting for room in a queue`,
    /// `sleeping, 3.10 s left`. A service that asks about itself is `running`. From
    /// the second look at the same call on, since when at least; of a thread that did not sleep in between, how much it
    /// used of a processor. A look reads a few files, and where a socket is named, the kernel's tables of sockets: that
    /// is why a snapshot has it only of those that somebody waits for, and why this is not for a loop over a thousand.
    pub fn blocked_now(&self) -> Option<String> {
        self.look(&ProcSnapshot::new())
    }

    pub(crate) fn look(&self, view: &ProcSnapshot) -> Option<String> {
        self.thread.as_ref()?.blocked_in(view)
    }
}

/// Why a host stopped. The first cause wins.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody asked for it.
    Requested,
    /// Ctrl-c, SIGTERM or SIGHUP.
    Signal,
    /// This service failed for good, or could not be set up.
    Failed(Arc<str>),
    /// This service completed, and says `on_completion(StopHost)`.
    Completed(Arc<str>),
    /// Every service has completed, or failed and is ignored.
    AllCompleted,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Requested => f.write_str("a stop was requested"),
            StopReason::Signal => f.write_str("ctrl-c or a termination signal"),
            StopReason::Failed(service) => write!(f, "service `{}` failed", Escaped(service)),
            StopReason::Completed(service) => write!(f, "service `{}` completed", Escaped(service)),
            StopReason::AllCompleted => f.write_str("every service has completed"),
        }
    }
}
