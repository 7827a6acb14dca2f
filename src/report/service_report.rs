//! What became of a host's services: `Report`, and `HostError` where that is not well.

use super::outcome::{BlockedThread, Outcome};
use super::status::StopReason;
use crate::util::sync::Arc;
use std::time::Duration;

/// What became of each service.
///
/// `Display` draws the stop as a timeline, a bar a service, so that one look tells who took the time.
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
    /// Every service, in order of registration; a group's children follow it.
    pub services: Vec<ServiceReport>,
    /// How long the stop took.
    pub took: Duration,
}

/// What became of one service.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServiceReport {
    /// Its name; a group's children are `group/child`.
    pub name: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// How often it was started again.
    pub restarts: u32,
    /// How many errors it had: failed runs, and what it or its ticks and jobs reported.
    pub errors: u64,
    /// How long its first start took, from its thread's making to ready. Zero if it was never ready.
    pub start_took: Duration,
    /// How long it took to end once asked to. Zero if it was not asked.
    pub stop_took: Duration,
    /// Those it depends on were asked to stop before it had ended, because it took too long.
    pub stop_timed_out: bool,
    /// What its threads were blocked in when they were disconnected from it, as the last resort: with the feature
    /// `disconnect`, of one that [may be](crate::ServiceOptions#method.disconnect_when_hung).
    pub disconnected: Vec<BlockedThread>,
    /// When it was asked, after the stop began.
    pub(crate) asked_after: Option<Duration>,
}
