//! Requesting the stop of one service. Its waiters are woken at once. Its callbacks are user code, so they run on other
//! threads, after every service whose turn it is has its stop request.

use super::validate::HostedService;
use crate::diagnose::ThreadProbe;
use crate::registry::{MemberSlot, Registry, ServiceId};
use crate::report::{Cause, Phase, ServiceError};
use crate::stop::{PendingCallbacks, callback_threads};
use crate::util::sync::Arc;
use crate::util::text::callback_thread_name;
use std::time::Instant;

/// The callbacks of a service whose stop has been requested. The registry counts them already.
#[must_use = "the callbacks run only if they are scheduled"]
pub(super) struct ServiceCallbacks {
    registry: Arc<Registry>,
    id: ServiceId,
    name: Arc<str>,
    callbacks: PendingCallbacks,
    /// Keeps the id of a member of a dynamic group valid.
    _member: Option<Arc<MemberSlot>>,
}

/// Requests the stop of a service that should stop by `deadline`, and is waited for until `end`.
pub(super) fn request_stop(
    registry: &Arc<Registry>,
    id: ServiceId,
    service: &HostedService,
    deadline: Option<Instant>,
    end: Option<Instant>,
) -> Option<ServiceCallbacks> {
    if let Some(member) = &service.member {
        let requested = registry.request_member_stop(member, deadline, end, false);
        return requested.map(|callbacks| ServiceCallbacks::of_member(member, callbacks));
    }
    let retired = registry.mark_stop_requested(id, deadline, end);
    let callbacks = retired.and(service.source.signal().unwrap_or_default());
    if callbacks.is_empty() {
        return None;
    }
    let name = registry.begin_callbacks(id);
    Some(ServiceCallbacks { registry: registry.clone(), id, name, callbacks, _member: None })
}

/// Requests the stop of one member of a dynamic group, which should stop by `deadline` and is waited for until `end`. Runs its
/// callbacks on other threads. Does nothing if the member has exited.
pub(super) fn request_member_stop(member: &Arc<MemberSlot>, deadline: Option<Instant>, end: Option<Instant>) {
    let requested = member.registry().request_member_stop(member, deadline, end, true);
    requested.into_iter().for_each(|callbacks| ServiceCallbacks::of_member(member, callbacks).schedule());
}

impl ServiceCallbacks {
    fn of_member(member: &Arc<MemberSlot>, (callbacks, name): (PendingCallbacks, Arc<str>)) -> Self {
        let (registry, id) = (member.registry().clone(), member.id());
        ServiceCallbacks { registry, id, name, callbacks, _member: Some(member.clone()) }
    }

    /// Runs the callbacks on another thread, which the registry knows, so that a callback that blocks is named. If no
    /// thread can be created, they run here: a callback that blocks then blocks the shutdown, which is better than no
    /// call.
    pub(super) fn schedule(self) {
        callback_threads::run(Box::new(|| self.run()));
    }

    fn run(self) {
        let ServiceCallbacks { registry, id, name, callbacks, _member } = self;
        callback_threads::named(&callback_thread_name(&name), || {
            registry.set_callback_thread(id, ThreadProbe::this());
            let error = |text| ServiceError::new(name.clone(), Phase::Callback, Cause::Panicked(text));
            callbacks.run(|text| registry.record_failure(id, &error(text)));
            registry.end_callbacks(id);
        });
    }
}
