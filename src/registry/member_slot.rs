//! `MemberSlot`: the place of a member of a dynamic group in its registry. See the invariants of `members`.

use super::progress::StartLimit;
use super::record::Policy;
use super::{Registry, ServiceId};
use crate::stop::StopSource;
use crate::util::sync::{Arc, Caller, OnceLock, caller};
use std::time::Duration;

/// Keeps the place of a member in its registry (invariant 2), and has what others need to request its stop.
pub(crate) struct MemberSlot {
    registry: Arc<Registry>,
    id: ServiceId,
    /// As the member was added: without the name of the group before it.
    pub(crate) name: Arc<str>,
    pub(crate) source: StopSource,
    pub(crate) stop_timeout: Option<Duration>,
    pub(crate) disconnects: bool,
    /// The thread of the member, once it runs.
    thread: OnceLock<Caller>,
}

impl MemberSlot {
    pub(super) fn new(registry: Arc<Registry>, id: ServiceId, new: NewMember) -> Self {
        let NewMember { name, stop_timeout, disconnects, source, .. } = new;
        MemberSlot { registry, id, name, source, stop_timeout, disconnects, thread: OnceLock::new() }
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    pub(crate) fn id(&self) -> ServiceId {
        self.id
    }

    /// The calling thread is that of the member.
    pub(super) fn mark_thread(&self) {
        _ = self.thread.get_or_init(caller); // a member has one thread
    }

    /// Returns `true` on the thread of the member.
    pub(crate) fn is_own_thread(&self) -> bool {
        self.thread.get() == Some(&caller())
    }
}

impl Drop for MemberSlot {
    fn drop(&mut self) {
        self.registry.update(|state| {
            state.record(self.id).member.iter_mut().for_each(|member| member.has_slot = false);
            state.vacate_if_unused(self.id);
        });
    }
}

/// A member that is to be added.
pub(crate) struct NewMember {
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) start_limit: Option<StartLimit>,
    pub(crate) stop_timeout: Option<Duration>,
    pub(crate) disconnects: bool,
    /// Its token is that of the member.
    pub(crate) source: StopSource,
}

/// Why a member was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Stopped,
    Duplicate,
    Full,
}
