//! When a shutdown closes the connections of hung services that have opted in.

use super::validate::HostedService;
use crate::registry::{MemberSlot, ServiceId};
use crate::util::sync::now;
use crate::util::time::remaining;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A service that has opted in has an earlier deadline than others, and is disconnected then: when a tenth of the time is
/// left, at least this, at most half. The error has to reach the service, and the service has to clean up.
const DISCONNECT_LEAD: Duration = Duration::from_millis(100);

/// The additional lead for each service that has opted in: about the time that the inspection of its threads and sockets takes.
const TIME_PER_SERVICE: Duration = Duration::from_micros(400);

/// How long the shutdown disconnects services at a time. Between two slices the shutdown continues: other services receive
/// their stop request, and those that have stopped release their dependencies.
#[cfg(feature = "disconnect")]
const MAX_SLICE: Duration = Duration::from_millis(3);

/// The shortest time between two inspections of a service. With less time left, a disconnect is useless.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct DisconnectSchedule {
    /// When every service is disconnected, even if its own stop timeout is longer.
    of_all: Option<Instant>,
    /// When each service is inspected.
    due: BTreeSet<(Instant, ServiceId)>,
}

/// How long before the end of a stop services are disconnected, if `left` is left. Inspecting them takes the time `inspection`.
fn lead(left: Duration, inspection: Duration) -> Duration {
    DISCONNECT_LEAD.saturating_add(inspection).max(left / 10).min(left / 2)
}

impl DisconnectSchedule {
    /// Creates the schedule of a shutdown of these services by `deadline`.
    pub(super) fn new(deadline: Option<Instant>, services: &[HostedService]) -> Self {
        let services = services.iter().filter(|entry| entry.options.disconnects).count();
        let each = TIME_PER_SERVICE.saturating_mul(u32::try_from(services).unwrap_or(u32::MAX));
        let of_all = deadline.and_then(|deadline| deadline.checked_sub(lead(remaining(Some(deadline)), each)));
        DisconnectSchedule { of_all, due: BTreeSet::new() }
    }

    /// Returns how long a service that receives its stop request at `now` may continue. If every service is due
    /// already, it has half of the time left.
    pub(super) fn grace(&self, now: Instant, deadline: Option<Instant>) -> Duration {
        let time = self.of_all.map_or(Duration::MAX, |at| at.saturating_duration_since(now));
        if time.is_zero() { remaining(deadline) / 2 } else { time }
    }

    /// Schedules the inspection of the service at `limit`. `None` means never.
    pub(super) fn schedule(&mut self, id: ServiceId, limit: Option<Instant>) {
        self.due.extend(limit.map(|at| (at, id)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|due| due.0)
    }

    /// Disconnects the services that are due. A service that is still alive is due again after its own stop timeout, or
    /// when half of the time left has passed: the check may have missed its call, or the service may have connected
    /// again.
    #[cfg(feature = "disconnect")]
    pub(super) fn run_due(
        &mut self,
        registry: &crate::registry::Registry,
        services: &[HostedService],
        deadline: Option<Instant>,
    ) {
        let now = now();
        if self.next().is_none_or(|at| now < at) {
            return;
        }
        let later = self.due.split_off(&(now, ServiceId::new(usize::MAX)));
        let mut due = std::mem::replace(&mut self.due, later);
        let (slice, mut inspected) =
            (crate::util::time::deadline(MAX_SLICE).into_iter().chain(deadline).min(), Vec::new());
        let mut can = true;
        while can && !remaining(slice).is_zero() {
            let Some((_, id)) = due.pop_first() else { break };
            can = registry.disconnect(std::iter::once(id));
            inspected.push(id);
        }
        self.due.append(&mut due); // the next slices handle the others, which stay due
        if !can || remaining(deadline) <= MIN_INTERVAL {
            return self.due.clear();
        }
        let alive = |id: &ServiceId| !registry.is_finished(*id);
        for id in inspected.into_iter().filter(alive) {
            let own = services[id.index()].options.stop_timeout.unwrap_or(Duration::MAX).max(MIN_INTERVAL);
            self.schedule(id, crate::util::time::deadline(own.min(remaining(deadline) / 2)));
        }
    }
}

/// Warns at the start, rather than during a shutdown, if no connection can be closed here.
#[cfg(feature = "disconnect")]
pub(super) fn check(services: &[HostedService]) {
    if !services.iter().any(|entry| entry.options.disconnects) {
        return;
    }
    if let Err(error) = crate::diagnose::check() {
        let text = format_args!("`disconnect_when_hung` is unavailable: pidfd_getfd failed: {error}");
        crate::util::log::log_line(log::Level::Warn, "hosted::host", text);
    }
}

/// When the stop of one member of a dynamic group closes its connection. Without the feature `disconnect`: never.
pub(super) struct MemberDisconnect(Option<Instant>);

impl MemberDisconnect {
    /// The schedule of a stop of `member` that waits until `end`.
    pub(super) fn new(member: &MemberSlot, end: Option<Instant>) -> Self {
        if !member.disconnects {
            return MemberDisconnect(None);
        }
        let own = now().checked_add(member.stop_timeout.unwrap_or(Duration::MAX));
        let before_end = end.and_then(|end| end.checked_sub(lead(remaining(Some(end)), TIME_PER_SERVICE)));
        MemberDisconnect(own.into_iter().chain(before_end).min())
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0
    }

    /// Disconnects the member. If the member is still there, it is due again when half of the time left has passed.
    pub(super) fn run(&mut self, member: &MemberSlot, end: Option<Instant>) {
        #[cfg(feature = "disconnect")]
        let can = member.registry().disconnect(std::iter::once(member.id()));
        #[cfg(not(feature = "disconnect"))]
        let can = false;
        let own = member.stop_timeout.unwrap_or(Duration::MAX).max(MIN_INTERVAL);
        let left = remaining(end);
        self.0 = if can && left > MIN_INTERVAL { now().checked_add(own.min(left / 2)) } else { None };
    }
}
