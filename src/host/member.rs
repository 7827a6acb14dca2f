//! `Member`: the handle of one member of a dynamic group.

use super::disconnect::MemberDisconnect;
use super::member_error::MemberError;
use super::stop_budget::StopBudget;
use super::stop_request::request_member_stop;
use crate::diagnose::ProcSnapshot;
use crate::registry::{HostHandle, MemberSlot};
use crate::report::{BlockedThread, Outcome, ServiceStatus};
use crate::util::sync::{Arc, now};
use crate::util::time::deadline;
use std::fmt;
use std::time::Duration;

/// The handle of a member of a [`DynamicGroup`](crate::DynamicGroup). Dropping the handle changes nothing.
///
/// A handle always refers to the same member. After the member has ended, the handle has its outcome, even if a member of the same
/// name is added. Tokio: `JoinHandle`.
///
/// ```
/// use hosted::{DynamicGroup, Host, Outcome, worker};
/// use std::time::Duration;
///
/// let devices = DynamicGroup::new();
/// let mut host = Host::new();
/// host.add("devices", devices.service());
/// host.start().unwrap();
///
/// let member = devices.add("usb-1", worker(|ctx| { ctx.wait(); Ok(()) })).unwrap();
/// member.wait_ready(Duration::from_secs(10)).unwrap();
/// let outcome = member.stop(Duration::from_secs(10)).unwrap();
/// assert!(matches!(outcome, Outcome::Stopped));
/// assert!(devices.is_empty());
/// # host.stop(Duration::from_secs(10)).unwrap();
/// ```
#[derive(Clone)]
pub struct Member {
    slot: Arc<MemberSlot>,
}

impl Member {
    pub(super) fn new(slot: Arc<MemberSlot>) -> Self {
        Member { slot }
    }

    /// Returns the name that the member was added with. Logs, statuses and reports show it as `group/member`.
    pub fn name(&self) -> &str {
        &self.slot.name
    }

    /// Returns the status of the member. After the member has ended, this is its last status.
    pub fn status(&self) -> ServiceStatus {
        let status = self.slot.registry().status(self.slot.id());
        HostHandle::with_blocked_in(vec![status]).remove(0)
    }

    /// Blocks until the first `start` of the member has returned `Ok`, for at most `timeout`. Returns `Ok` at once if that was
    /// before the call, even if the member has ended since.
    ///
    /// # Errors
    ///
    /// - [`MemberError::NotReady`] if `start` has not returned in time.
    /// - [`MemberError::Failed`] or [`MemberError::Ended`] if the member has ended before it was ready.
    /// - [`MemberError::OwnThread`] if the member calls this in its own `start`.
    pub fn wait_ready(&self, timeout: Duration) -> Result<(), MemberError> {
        let until = if self.slot.is_own_thread() { Some(now()) } else { deadline(timeout) };
        match self.slot.registry().wait_for_ready(self.slot.id(), until) {
            Some(None) => Ok(()),
            Some(Some(Outcome::Failed(error))) => Err(MemberError::Failed(error)),
            Some(Some(_)) => Err(MemberError::Ended(self.shown_name())),
            None if self.slot.is_own_thread() => Err(MemberError::OwnThread(self.shown_name())),
            None => Err(MemberError::NotReady { name: self.shown_name(), thread: self.inspect() }),
        }
    }

    /// Requests the stop of the member, and returns without waiting. Its token stops; its stop callbacks run on other threads. Does
    /// nothing if the member has ended.
    pub fn request_stop(&self) {
        request_member_stop(&self.slot, None, None);
    }

    /// Requests the stop of the member, and blocks until nothing of it is left, for at most `timeout`. Then its name is free.
    ///
    /// The member sees a [stop deadline](crate::Context::stop_deadline) that is a little before the end of `timeout`. With
    /// [`disconnect_when_hung`](crate::ServiceOptions#method.disconnect_when_hung), the calling thread closes the connection of the
    /// member at that deadline. Returns at once if the member has ended.
    ///
    /// # Errors
    ///
    /// - [`MemberError::Hung`] if the member has not ended in time. The error names what its thread is blocked in. The member stays
    ///   alive, with the state [`Hung`](crate::ServiceState::Hung). Call `stop` again to wait for it.
    /// - [`MemberError::OwnThread`] if the member calls this on its own thread. The stop is requested nevertheless.
    #[doc(alias("terminate_child", "abort", "Remove"))]
    pub fn stop(&self, timeout: Duration) -> Result<Outcome, MemberError> {
        let own = self.slot.is_own_thread();
        if own {
            self.request_stop();
            return Err(MemberError::OwnThread(self.shown_name()));
        }
        let budget = StopBudget::new(timeout);
        let mut disconnect = MemberDisconnect::new(&self.slot, budget.deadline());
        let limit = now().checked_add(self.slot.stop_timeout.unwrap_or(Duration::MAX));
        let stop_by = limit.into_iter().chain(budget.service_deadline(now())).chain(disconnect.next()).min();
        request_member_stop(&self.slot, stop_by, budget.end());
        while let Some(at) = disconnect.next() {
            if let Some(outcome) = self.slot.registry().wait_for_member(self.slot.id(), Some(at)) {
                return Ok(outcome);
            }
            disconnect.run(&self.slot, budget.deadline());
        }
        self.end_of_stop(self.slot.registry().wait_for_member(self.slot.id(), budget.end()))
    }

    /// Blocks until nothing of the member is left, for at most `timeout`. Returns how the member ended, or `None` if it has not.
    /// Returns `None` at once on the thread of the member.
    #[doc(alias("join", "JoinHandle"))]
    pub fn wait(&self, timeout: Duration) -> Option<Outcome> {
        let timeout = if self.slot.is_own_thread() { Duration::ZERO } else { timeout };
        self.slot.registry().wait_for_member(self.slot.id(), deadline(timeout))
    }

    /// A member that has not ended is hung from now on, until nothing of it is left.
    fn end_of_stop(&self, outcome: Option<Outcome>) -> Result<Outcome, MemberError> {
        let (registry, id) = (self.slot.registry(), self.slot.id());
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
        let thread = self.inspect();
        registry.mark_hung(id, thread.clone());
        // The member may have ended during the inspection.
        registry.wait_for_member(id, Some(now())).ok_or_else(|| MemberError::Hung { name: self.shown_name(), thread })
    }

    fn inspect(&self) -> BlockedThread {
        self.slot.registry().stuck(self.slot.id()).inspect(&ProcSnapshot::new())
    }

    fn shown_name(&self) -> Arc<str> {
        self.slot.registry().status(self.slot.id()).name
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.slot.registry().status(self.slot.id()).state;
        f.debug_struct("Member").field("name", &self.name()).field("state", &state).finish_non_exhaustive()
    }
}
