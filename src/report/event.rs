//! What a host tells: the one place that log lines and events come from.

use super::error::ServiceError;
use super::outcome::BlockedThread;
use super::status::StopReason;
use crate::util::log::log_line;
use crate::util::sync::Arc;
use crate::util::text::{Escaped, HumanDuration};
use log::Level;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Something that happened in a host: what its log lines say, as values.
///
/// `Display` is the log line. A step is announced before it is taken. From [`Host::events`](crate::Host::events).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// Which service; `None` is the host itself. A group's own host goes by the name of the group.
    pub service: Option<Arc<str>>,
    /// The name of the host, if it has one: see [`Host::named`](crate::Host::named).
    pub host: Option<Arc<str>>,
    /// What.
    pub kind: EventKind,
    level: Level,
}

/// What happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The host starts this many services.
    HostStarting {
        /// How many.
        services: usize,
    },
    /// Every service has started, or has failed and is ignored.
    HostStarted {
        /// How long the start took.
        took: Duration,
    },
    /// The host stops its services.
    HostStopping {
        /// Why.
        reason: StopReason,
    },
    /// The host has stopped.
    HostStopped {
        /// How long the stop took.
        took: Duration,
        /// How many services' threads are still alive.
        hung: usize,
    },
    /// The start takes long: for these.
    StillStarting {
        /// How long it has taken until now.
        waited: Duration,
        /// Whom it waits for, and what they are blocked in.
        services: String,
    },
    /// The stop takes long: for these.
    StillStopping {
        /// How long it has taken until now.
        waited: Duration,
        /// Whom it waits for, and what they are blocked in.
        services: String,
    },
    /// The service's `start` is about to be called.
    Starting,
    /// The service is ready.
    Started,
    /// The service is about to be asked to stop, or its `stop` to be called.
    Stopping,
    /// The service has ended on request.
    Stopped,
    /// The service had failed with this error, and has ended on request before a restart was ready.
    NotRestarted(ServiceError),
    /// The service has ended by itself, well.
    Completed,
    /// The service has failed for good.
    Failed(ServiceError),
    /// The service will be started again.
    Restarting {
        /// What it failed with; `None` after a normal end.
        error: Option<ServiceError>,
        /// The number of this restart.
        restart: u32,
        /// When.
        after: Duration,
    },
    /// An error that is no reason to end: of a tick, of a job, or from [`Context::report_error`](crate::Context::report_error).
    Reported {
        /// What it says.
        error: String,
    },
    /// Ticks passed while the service was busy.
    MissedTicks {
        /// How many.
        missed: u32,
    },
    /// A consumer's time was up before its queue was empty.
    QueueNotDrained {
        /// How many items are left, for `Queue::drain`.
        items: usize,
    },
    /// The stop goes on although this service, which came after others, has not ended: they are asked now.
    StopTimedOut {
        /// How long it has had.
        waited: Duration,
    },
    /// The service's time is up, and the socket that its thread waits on has been shut down. Feature `disconnect`.
    Disconnected(BlockedThread),
    /// The service's thread did not end in time. It is left behind.
    Hung(BlockedThread),
    /// This listener was too slow: so many events before this one are missing.
    Lagged {
        /// How many.
        events: u64,
    },
}

impl EventKind {
    /// In a group nothing is final but for the group, which says so itself: it may be started again.
    pub(crate) fn level(&self, in_group: bool) -> Level {
        match self {
            EventKind::Failed(_) if in_group => Level::Warn,
            EventKind::Failed(_) | EventKind::Hung(_) => Level::Error,
            EventKind::StillStarting { .. }
            | EventKind::StillStopping { .. }
            | EventKind::Restarting { .. }
            | EventKind::NotRestarted(_)
            | EventKind::Reported { .. }
            | EventKind::MissedTicks { .. }
            | EventKind::QueueNotDrained { .. }
            | EventKind::StopTimedOut { .. }
            | EventKind::Disconnected(_)
            | EventKind::Lagged { .. } => Level::Warn,
            EventKind::HostStarting { .. }
            | EventKind::HostStarted { .. }
            | EventKind::HostStopping { .. }
            | EventKind::HostStopped { .. }
                if in_group =>
            {
                Level::Debug
            }
            EventKind::HostStarting { .. }
            | EventKind::HostStarted { .. }
            | EventKind::HostStopping { .. }
            | EventKind::HostStopped { .. }
            | EventKind::Completed => Level::Info,
            EventKind::Starting | EventKind::Started | EventKind::Stopping | EventKind::Stopped => Level::Debug,
        }
    }

    fn target(&self, of_service: bool) -> &'static str {
        match self {
            EventKind::MissedTicks { .. } => "hosted::tick",
            EventKind::QueueNotDrained { .. } => "hosted::queue",
            _ if of_service => "hosted::service",
            _ => "hosted::host",
        }
    }
}

impl Event {
    pub(crate) fn now(host: Option<Arc<str>>, service: Option<Arc<str>>, kind: EventKind, level: Level) -> Self {
        Event { at: SystemTime::now(), service, host, kind, level }
    }

    /// What a listener is told that missed events before this one.
    pub(crate) fn missed(&self, events: u64) -> Self {
        Event {
            at: self.at,
            service: None,
            host: self.host.clone(),
            kind: EventKind::Lagged { events },
            level: Level::Warn,
        }
    }

    /// Writes the log line. Calls foreign code: never under a lock.
    pub(crate) fn log(&self) {
        log_line(self.level, self.kind.target(self.service.is_some()), format_args!("{self}"));
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{}: ", Escaped(host))?;
        }
        match &self.service {
            None => self.kind.of_host(f),
            Some(service) => self.kind.of_service(&Escaped(service), f),
        }
    }
}

impl EventKind {
    fn of_host(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::HostStarting { services: 1 } => f.write_str("starting 1 service"),
            EventKind::HostStarting { services } => write!(f, "starting {services} services"),
            EventKind::HostStarted { took } => write!(f, "started in {}", HumanDuration(*took)),
            EventKind::HostStopping { reason } => write!(f, "stopping: {reason}"),
            EventKind::HostStopped { took, hung: 0 } => write!(f, "stopped in {}", HumanDuration(*took)),
            EventKind::HostStopped { took, hung } => {
                write!(f, "stopped in {}, leaving {hung} hung behind", HumanDuration(*took))
            }
            EventKind::StillStarting { waited, services } => {
                write!(f, "still starting after {}: waiting for {services}", HumanDuration(*waited))
            }
            EventKind::StillStopping { waited, services } => {
                write!(f, "still stopping after {}: waiting for {services}", HumanDuration(*waited))
            }
            EventKind::Lagged { events } => write!(f, "this listener was too slow and missed {events} events"),
            other => write!(f, "{other:?}"),
        }
    }

    fn of_service(&self, name: &Escaped<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Starting => write!(f, "service `{name}` is starting"),
            EventKind::Started => write!(f, "service `{name}` has started"),
            EventKind::Stopping => write!(f, "service `{name}` is stopping"),
            EventKind::Stopped => write!(f, "service `{name}` has stopped"),
            EventKind::NotRestarted(error) => {
                write!(f, "service `{name}` has stopped; it was waiting to be restarted after: {error}")
            }
            EventKind::Completed => write!(f, "service `{name}` has completed"),
            EventKind::Failed(error) => write!(f, "{error}"),
            EventKind::Restarting { error, restart, after } => {
                let after = HumanDuration(*after);
                match error {
                    Some(error) => write!(f, "{error}; restart {restart} in {after}"),
                    None => write!(f, "service `{name}` has ended; restart {restart} in {after}"),
                }
            }
            EventKind::Reported { error } => write!(f, "service `{name}` reports: {error}"),
            EventKind::MissedTicks { missed: 1 } => write!(f, "service `{name}` missed a tick"),
            EventKind::MissedTicks { missed } => write!(f, "service `{name}` missed {missed} ticks"),
            EventKind::QueueNotDrained { items } => {
                write!(f, "service `{name}` ran out of time, with {items} left in its queue")
            }
            EventKind::StopTimedOut { waited } => write!(
                f,
                "service `{name}` has not ended {} after it was asked to: those it depends on are asked now",
                HumanDuration(*waited)
            ),
            EventKind::Disconnected(hung) => write!(f, "service `{name}` has been disconnected: {hung}"),
            EventKind::Hung(hung) => write!(f, "service `{name}` is hung: {hung}"),
            of_its_host => {
                write!(f, "group `{name}`: ")?;
                of_its_host.of_host(f)
            }
        }
    }
}
