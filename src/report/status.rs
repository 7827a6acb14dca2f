//! The states of a host and of its services, and the reason why a host stopped.

use crate::diagnose::{ProcSnapshot, ThreadProbe};
use crate::util::sync::Arc;
use crate::util::text::Escaped;
use std::fmt;
use std::time::Instant;

/// The state of a host. A host passes through these states once, in this order.
///
/// ```
/// use hosted::{Host, HostState};
///
/// let mut host = Host::new();
/// let handle = host.handle();
/// assert_eq!(handle.state(), HostState::New);
/// host.run().unwrap();
/// assert_eq!(handle.state(), HostState::Stopped);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostState {
    /// The host has not been started yet.
    New,
    /// The host is in [`Host::start`](crate::Host::start).
    Starting,
    /// Every service has started, or has failed and is ignored.
    Started,
    /// A stop was requested, or a failure or completion stops the host.
    Stopping,
    /// The host has stopped. Services whose thread did not end in time are [`ServiceState::Hung`].
    Stopped,
}

/// The state of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceState {
    /// The service has not been started yet: it waits for its dependencies.
    Waiting,
    /// The service is in its `start`.
    Starting,
    /// The service is in its `run`.
    Running,
    /// The service is between two runs: it cleans up after the last run, or waits for the next one.
    Restarting,
    /// The stop of the service was requested, or the service is cleaning up.
    Stopping,
    /// The service has returned `Ok` without a stop request.
    Completed,
    /// The service has stopped on request.
    Stopped,
    /// The service has stopped on request, after a failure and before a restart was ready.
    NotRestarted,
    /// The service has failed, and will not be restarted.
    Failed,
    /// The thread of the service did not end in time, and is still alive. When the thread ends later, the state changes to
    /// how the service ended, even if the host was dropped.
    Hung,
}

impl ServiceState {
    /// The word for the state in every text for people and machines.
    pub(crate) fn word(self) -> &'static str {
        match self {
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
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Whether a service can do its work, as [`ServiceStatus::health`] shows it.
///
/// ```
/// use hosted::{Health, Host, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("mailer", worker(|ctx| {
///     ctx.degraded("no connection to the mail server");
///     ctx.host().request_stop();
///     ctx.wait();
///     Ok(())
/// }));
/// host.start().unwrap();
/// host.wait();
/// let status = &host.handle().services()[0];
/// assert!(matches!(&status.health, Health::Degraded { reason, .. } if reason.contains("mail server")));
/// # host.stop(Duration::from_secs(10)).unwrap();
/// ```
#[doc(alias("HealthStatus", "HealthCheck"))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Nothing is known to be wrong.
    #[default]
    Healthy,
    /// The service runs, but cannot do its work. It reports this with [`Context::degraded`](crate::Context::degraded).
    Degraded {
        /// The reason that the service reported last, with control characters escaped.
        reason: String,
        /// When the service first reported that it is degraded, by the system clock. A new reason does not change the time.
        since: Instant,
    },
    /// The service has shown no sign of life for longer than its limit: see
    /// [`ServiceOptions::stalls_after`](crate::ServiceOptions::stalls_after). A service that is also degraded is shown as
    /// stalled.
    Stalled {
        /// The latest sign of life, by the system clock.
        since: Instant,
    },
}

impl Health {
    /// The word for the health in texts for people and machines.
    #[cfg(any(feature = "status", feature = "metrics"))]
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded { .. } => "degraded",
            Health::Stalled { .. } => "stalled",
        }
    }
}

/// The status of one service at one moment. Returned by [`HostHandle::services`](crate::HostHandle::services).
///
/// ```
/// use hosted::{Host, ServiceState, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
/// host.start().unwrap();
/// let status = &host.handle().services()[0];
/// assert_eq!(&*status.name, "poller");
/// assert_eq!(status.errors, 0);
/// host.stop(Duration::from_secs(10)).unwrap();
/// assert_eq!(host.handle().services()[0].state, ServiceState::Stopped);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// The name of the service. A child of a group is named `group/child`.
    pub name: Arc<str>,
    /// The state of the service.
    pub state: ServiceState,
    /// When the service entered this state, by the system clock.
    pub since: Instant,
    /// The number of restarts.
    pub restarts: u32,
    /// The number of errors: failed runs, and errors that the service, its ticks or its jobs reported.
    pub errors: u64,
    /// The number of ticks of an [`every`](crate::every) or `cron` service that passed while it was busy.
    pub ticks_missed: u64,
    /// The latest error and its sources, as one line with control characters escaped.
    pub last_error: Option<String>,
    /// Whether the service can do its work.
    pub health: Health,
    /// Whether the host ignores a final failure of the service: the service, or a group around it, has the option
    /// [`OnFailure::Ignore`](crate::OnFailure::Ignore).
    pub ignores_failure: bool,
    /// What the thread of the service is blocked in, on Linux, if the service is starting, stopping or hung. In other states
    /// use [`blocked_now`](Self::blocked_now).
    pub blocked_in: Option<String>,
    /// The members of a [`DynamicGroup`](crate::DynamicGroup), if this is the service of one.
    pub members: Option<MemberCounts>,
    pub(crate) thread: Option<ThreadProbe>,
}

/// How many members a [`DynamicGroup`](crate::DynamicGroup) has, and has had since its service started.
///
/// ```
/// use hosted::{DynamicGroup, Host, once};
/// use std::time::Duration;
///
/// let devices = DynamicGroup::new();
/// let mut host = Host::new();
/// host.add("devices", devices.service());
/// host.start().unwrap();
/// let probe = devices.add("probe", once(|_| Ok(()))).unwrap();
/// probe.wait(Duration::from_secs(10)).unwrap();
/// let counts = host.handle().services()[0].members.unwrap();
/// assert_eq!((counts.alive, counts.ended, counts.failed), (0, 1, 0));
/// # host.stop(Duration::from_secs(10)).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberCounts {
    /// The members that are alive: of which a thread or a stop callback is left.
    pub alive: usize,
    /// The members that have ended, for whatever reason.
    pub ended: u64,
    /// The members that have ended with a failure. They are among `ended`.
    pub failed: u64,
}

impl ServiceStatus {
    /// Returns what the thread of the service is blocked in now, in any state.
    ///
    /// Returns `None` if the service has no thread, if the system is not Linux, or if `/proc` cannot be read. Examples:
    ///
    /// - A system call: `recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)`.
    /// - A lock, condvar or channel of other code: `futex (a lock, condvar or channel)`.
    /// - A wait of this library: `waiting for the stop`, `waiting for a job`, `sleeping, 3.10 s left`.
    /// - A thread that is not blocked: `running`. A service that calls this for itself is `running`.
    ///
    /// From the second call during the same wait on, the text has the minimum duration: `for at least 8.99 s`. If the thread
    /// has run all the time, the text also has its CPU usage.
    ///
    /// A call reads several files. To describe a socket, it also reads the kernel's socket tables. So do not call it in a
    /// loop over a thousand services.
    pub fn blocked_now(&self) -> Option<String> {
        self.blocked_in(&ProcSnapshot::new())
    }

    pub(crate) fn blocked_in(&self, snapshot: &ProcSnapshot) -> Option<String> {
        self.thread.as_ref()?.blocked_in(snapshot)
    }
}

/// The reason why a host stopped. If there are several reasons, this is the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopReason {
    /// The program requested the stop.
    Requested,
    /// The process received ctrl-c, SIGTERM or SIGHUP.
    Signal,
    /// This service failed and was not restarted, or its thread could not be created.
    Failed(Arc<str>),
    /// This service completed, and has the option [`OnCompletion::StopHost`](crate::OnCompletion::StopHost).
    Completed(Arc<str>),
    /// Every service has completed, or has failed and is ignored.
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
