//! `Report`: how each service of a host ended.

use super::outcome::{BlockedThread, Outcome};
use super::status::{MemberCounts, StopReason};
use crate::util::sync::Arc;
use std::time::Duration;

/// The result of a shutdown: how each service ended, and how long its stop took.
///
/// `Display` prints the shutdown as a timeline with one bar per service.
///
/// ```
/// use hosted::{Host, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
/// host.start().unwrap();
/// let report = host.stop(Duration::from_secs(10)).unwrap();
/// assert!(matches!(report.services[0].outcome, hosted::Outcome::Stopped));
/// println!("{report}");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The name of the host, if it has one: see [`Host::named`](crate::Host::named).
    pub host: Option<Arc<str>>,
    /// Why the host stopped.
    pub reason: StopReason,
    /// The services in the order in which they were added. The children of a group follow the group.
    pub services: Vec<ServiceReport>,
    /// The duration of the shutdown.
    pub took: Duration,
}

/// How one service ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// The name of the service. A child of a group is named `group/child`.
    pub name: Arc<str>,
    /// How the service ended.
    pub outcome: Outcome,
    /// The number of restarts.
    pub restarts: u32,
    /// The number of errors: failed runs, and errors that the service, its ticks or its jobs reported.
    pub errors: u64,
    /// The duration of the first start, from the creation of the thread until the service was ready. Zero if the service was
    /// never ready.
    pub start_took: Duration,
    /// The time from the stop request until the service ended. Zero if its stop was not requested.
    pub stop_took: Duration,
    /// `true` if the service took too long to stop, and the stop of its dependencies was requested before it had ended.
    pub stop_timed_out: bool,
    /// The threads of the service whose connections the host shut down, and what each was blocked in. Feature `disconnect`,
    /// for a service with [`disconnect_when_hung`](crate::ServiceOptions#method.disconnect_when_hung).
    pub disconnected: Vec<BlockedThread>,
    /// The members of a [`DynamicGroup`](crate::DynamicGroup), if this is the service of one: how many ended and failed over its
    /// life. The rows of the members that were alive when the stop began follow.
    pub members: Option<MemberCounts>,
    /// If the service is a member of a dynamic group: the length of the group's name, with which `name` begins.
    pub(crate) group_prefix: Option<usize>,
    /// The time from the beginning of the shutdown until the stop request of this service.
    pub(crate) requested_after: Option<Duration>,
}
