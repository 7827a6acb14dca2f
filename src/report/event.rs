//! `Event`: what happens in a host. All log lines about the life of a host and its services are the text of an event.

use super::error::ServiceError;
use super::outcome::BlockedThread;
use super::status::StopReason;
use crate::util::log::log_line;
use crate::util::sync::{Arc, system_now};
use crate::util::text::{Escaped, HumanDuration};
use log::Level;
use std::fmt;
use std::time::{Duration, SystemTime};

/// Something that happened in a host. Received from [`Host::events`](crate::Host::events).
///
/// `Display` is the text of the log line. The host emits an event before it takes the step that the event announces.
///
/// ```
/// use hosted::{EventKind, Host, worker};
///
/// let mut host = Host::new();
/// host.add("importer", worker(|_| Ok(())));
/// let events = host.events();
/// host.run().unwrap();
/// assert!(events.try_iter().any(|event| matches!(event.kind, EventKind::Completed)));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When the event was emitted.
    pub at: SystemTime,
    /// The name of the service, or `None` if the event is about the host. The host inside a group has the name of the group.
    pub service: Option<Arc<str>>,
    /// The name of the host, if it has one: see [`Host::named`](crate::Host::named).
    pub host: Option<Arc<str>>,
    /// What happened.
    pub kind: EventKind,
    level: Level,
}

/// The kinds of [events](Event).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// The host is about to start its services.
    HostStarting {
        /// The number of services.
        services: usize,
    },
    /// Every service has started, or has failed and is ignored.
    HostStarted {
        /// The duration of the start-up.
        took: Duration,
    },
    /// The host is about to stop its services.
    HostStopping {
        /// Why the host stops.
        reason: StopReason,
    },
    /// The host has stopped.
    HostStopped {
        /// The duration of the shutdown.
        took: Duration,
        /// The number of services whose thread is still alive.
        hung: usize,
    },
    /// The start-up is still in progress. Emitted once a second.
    StillStarting {
        /// The time since the start-up began.
        waited: Duration,
        /// The services that the host waits for, and what they are blocked in.
        services: String,
    },
    /// The shutdown is still in progress. Emitted once a second.
    StillStopping {
        /// The time since the shutdown began.
        waited: Duration,
        /// The services that the host waits for, and what they are blocked in.
        services: String,
    },
    /// The host is about to call the `start` of the service.
    Starting,
    /// The service is ready: its `start` has returned `Ok`.
    Started,
    /// The host is about to request the stop of the service, or to call its `stop`.
    Stopping,
    /// The service has stopped on request.
    Stopped,
    /// The service had failed with this error, and has stopped on request before a restart was ready.
    NotRestarted(ServiceError),
    /// The service has completed: it returned `Ok` without a stop request.
    Completed,
    /// The service has failed, and will not be restarted.
    Failed(ServiceError),
    /// The host will start the service again.
    Restarting {
        /// The failure of the last run, or `None` if that run completed.
        error: Option<ServiceError>,
        /// The number of this restart, from 1.
        restart: u32,
        /// The time until the restart.
        after: Duration,
    },
    /// The service reported an error that does not end it: from a tick, from a job, or by
    /// [`Context::report_error`](crate::Context::report_error).
    Reported {
        /// The error and its sources, as one line.
        error: String,
    },
    /// The service runs, but cannot do its work: it has called [`Context::degraded`](crate::Context::degraded) with a new
    /// reason.
    Degraded {
        /// The reason, with control characters escaped.
        reason: String,
    },
    /// The service was degraded, and has called [`Context::healthy`](crate::Context::healthy).
    Healthy,
    /// The service has shown no sign of life for its limit: see
    /// [`ServiceOptions::stalls_after`](crate::ServiceOptions::stalls_after). The field `waited` is the time since its latest
    /// sign of life.
    Stalled(BlockedThread),
    /// The service was stalled, and has shown a sign of life.
    Recovered,
    /// Ticks passed while the service was busy.
    MissedTicks {
        /// The number of skipped ticks.
        missed: u32,
    },
    /// A consumer reached its stop deadline before its queue was empty.
    QueueNotDrained {
        /// The number of items that are left for [`Queue::drain`](crate::Queue::drain).
        items: usize,
    },
    /// The service has not stopped in the time that its dependencies wait for it. The host now requests the stop of these
    /// dependencies.
    StopTimedOut {
        /// The time since the stop request.
        waited: Duration,
    },
    /// The service reached its stop deadline, and the host has shut down the socket that its thread waits on. Feature
    /// `disconnect`.
    Disconnected(BlockedThread),
    /// The thread of the service did not end in time. The host no longer waits for it.
    Hung(BlockedThread),
    /// This subscriber was too slow, and events before this one were dropped.
    Lagged {
        /// The number of dropped events.
        events: u64,
    },
}

/// Where an event happened. The level of its log line depends on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventScope {
    Host,
    Group,
    DynamicGroup,
}

impl EventKind {
    /// Returns the level of the log line. In a group, failures are warnings and the events of the host are for debugging:
    /// the group may be restarted, and reports its own failure.
    pub(crate) fn level(&self, scope: EventScope) -> Level {
        let in_group = scope != EventScope::Host;
        match self {
            EventKind::Completed if scope == EventScope::DynamicGroup => Level::Debug, // members come and go
            EventKind::Failed(_) if in_group => Level::Warn,
            EventKind::Failed(_) | EventKind::Hung(_) => Level::Error,
            EventKind::StillStarting { .. }
            | EventKind::StillStopping { .. }
            | EventKind::Restarting { .. }
            | EventKind::NotRestarted(_)
            | EventKind::Reported { .. }
            | EventKind::Degraded { .. }
            | EventKind::Stalled(_)
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
            | EventKind::Healthy
            | EventKind::Recovered
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
        Event { at: system_now(), service, host, kind, level }
    }

    /// Returns the event that a subscriber gets before this one, if it missed events.
    pub(crate) fn missed(&self, events: u64) -> Self {
        Event {
            at: self.at,
            service: None,
            host: self.host.clone(),
            kind: EventKind::Lagged { events },
            level: Level::Warn,
        }
    }

    /// Returns the level of the log line.
    #[cfg(feature = "status")]
    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Writes the log line. The logger is user code, so the caller must not hold a lock.
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
            None => self.kind.fmt_host_event(f),
            Some(service) => self.kind.fmt_service_event(&Escaped(service), f),
        }
    }
}

impl EventKind {
    fn fmt_host_event(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::HostStarting { services } => write!(f, "starting {services} {}", plural(*services, "service")),
            EventKind::HostStarted { took } => write!(f, "started in {}", HumanDuration(*took)),
            EventKind::HostStopping { reason } => write!(f, "stopping: {reason}"),
            EventKind::HostStopped { took, hung: 0 } => write!(f, "stopped in {}", HumanDuration(*took)),
            EventKind::HostStopped { took, hung } => {
                let took = HumanDuration(*took);
                write!(f, "stopped after {took}; {hung} {} did not stop", plural(*hung, "service"))
            }
            EventKind::StillStarting { waited, services } => {
                write!(f, "start-up still in progress after {}; waiting for {services}", HumanDuration(*waited))
            }
            EventKind::StillStopping { waited, services } => {
                write!(f, "shutdown still in progress after {}; waiting for {services}", HumanDuration(*waited))
            }
            EventKind::Lagged { events: 1 } => f.write_str("event subscriber lagged behind; 1 event dropped"),
            EventKind::Lagged { events } => write!(f, "event subscriber lagged behind; {events} events dropped"),
            other => write!(f, "{other:?}"),
        }
    }

    fn fmt_service_event(&self, name: &Escaped<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
                match error {
                    Some(error) => write!(f, "{error}")?,
                    None => write!(f, "service `{name}` completed")?,
                }
                write!(f, "; restarting in {} (restart {restart})", HumanDuration(*after))
            }
            EventKind::Reported { error } => write!(f, "service `{name}` reported an error: {error}"),
            EventKind::Degraded { reason } => write!(f, "service `{name}` is degraded: {reason}"),
            EventKind::Healthy => write!(f, "service `{name}` is healthy again"),
            EventKind::Stalled(blocked) => write!(f, "service `{name}` is stalled: {}", blocked.without_life()),
            EventKind::Recovered => write!(f, "service `{name}` is no longer stalled"),
            EventKind::MissedTicks { missed: 1 } => write!(f, "service `{name}` missed a tick"),
            EventKind::MissedTicks { missed } => write!(f, "service `{name}` missed {missed} ticks"),
            EventKind::QueueNotDrained { items } => {
                let jobs = plural(*items, "job");
                write!(f, "service `{name}` reached its stop deadline with {items} {jobs} still queued")
            }
            EventKind::StopTimedOut { waited } => write!(
                f,
                "service `{name}` has not stopped {} after the stop request; stopping its dependencies now",
                HumanDuration(*waited)
            ),
            EventKind::Disconnected(blocked) => {
                write!(f, "service `{name}`: closed the connection it was blocked on: {blocked}")
            }
            EventKind::Hung(blocked) => write!(f, "service `{name}` did not stop: {blocked}"),
            host_event => {
                write!(f, "group `{name}`: ")?;
                host_event.fmt_host_event(f)
            }
        }
    }
}

/// Returns `noun` in the plural, unless `count` is 1.
fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}
