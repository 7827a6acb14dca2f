//! Adds a member to a dynamic group: checks it, reserves its place in the registry, and creates its thread.

use super::member::Member;
use super::member_error::{AddError, InvalidMember};
use super::options::ServiceOptions;
use super::stop_request::request_member_stop;
use super::supervisor::supervise;
use super::validate::check_service;
use crate::clock::Clock;
use crate::registry::{MemberSlot, NewMember, Refused, Registry, StartLimit};
use crate::report::BoxError;
use crate::service::{Context, Service};
use crate::stop::{StopCallback, StopSource, StopToken};
use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, thread};
use crate::util::text::Escaped;
use crate::util::time::deadline;
use std::io;

/// One run of a group's service.
#[derive(Clone)]
pub(super) struct GroupRun {
    pub(super) registry: Arc<Registry>,
    pub(super) clock: Clock,
    /// The stop token of the group.
    pub(super) token: StopToken,
    pub(super) name: Arc<str>,
}

impl GroupRun {
    /// Adds a member. Takes the service out of `service` only if the service has a thread.
    pub(super) fn add(
        &self,
        name: Arc<str>,
        service: &mut Option<Box<dyn Service>>,
        options: &ServiceOptions,
        source: StopSource,
    ) -> Result<Member, AddError> {
        check(&name, service.as_deref(), options)?;
        let of_start = |limit| Some(StartLimit { at: deadline(limit)?, limit, of_host: false });
        let new = NewMember {
            name: name.clone(),
            policy: options.member_policy(),
            start_limit: options.start_timeout.and_then(of_start),
            stop_timeout: options.stop_timeout,
            disconnects: options.disconnects,
            source,
        };
        let start_limit = new.start_limit;
        let (shown, retired): (Arc<str>, _) = (format!("{}/{name}", self.name).into(), StopSource::new());
        let slot = self.registry.add_member(new, shown.clone(), retired.clone()).map_err(|refused| match refused {
            Refused::Stopped => AddError::Stopped,
            Refused::Full => AddError::Full,
            Refused::Duplicate => AddError::Duplicate(name.clone()),
        })?;
        let started = attach(&name, service, &retired.token())
            .and_then(|()| spawn(&slot, shown, service, self.clock.clone(), options, start_limit));
        if let Err(error) = started {
            self.registry.undo_add_member(slot.id());
            retired.request_stop();
            return Err(error);
        }
        Ok(Member::new(slot))
    }
}

fn check(name: &Arc<str>, service: Option<&dyn Service>, options: &ServiceOptions) -> Result<(), AddError> {
    let invalid = |why: InvalidMember| Err(AddError::Invalid(why.into()));
    if name.is_empty() {
        return invalid(InvalidMember::EmptyName);
    }
    if name.contains('\0') {
        return invalid(InvalidMember::NulInName(name.clone()));
    }
    if let Some(option) = options.unfit_for_member() {
        return invalid(InvalidMember::Option { name: name.clone(), option });
    }
    match service.map_or(Ok(()), |service| check_service(service, options)) {
        Ok(()) => Ok(()),
        Err(why) => invalid(InvalidMember::Service { name: name.clone(), why }),
    }
}

/// Calls `attach`, which is user code.
fn attach(name: &Arc<str>, service: &mut Option<Box<dyn Service>>, retired: &StopToken) -> Result<(), AddError> {
    let attached = catch_panic(|| service.iter_mut().for_each(|service| service.attach(retired)));
    attached.map_err(|text| {
        let why = BoxError::from(format!("`attach` panicked: {text}"));
        AddError::Invalid(InvalidMember::Service { name: name.clone(), why }.into())
    })
}

/// Creates the thread of a member. Nobody joins it: its end counts as the join.
fn spawn(
    slot: &Arc<MemberSlot>,
    shown: Arc<str>,
    service: &mut Option<Box<dyn Service>>,
    clock: Clock,
    options: &ServiceOptions,
    start_limit: Option<StartLimit>,
) -> Result<(), AddError> {
    if let Some(limit) = options.stalls_after {
        slot.registry().watch_for_stalls(slot.id(), limit, &clock).map_err(AddError::NoThread)?;
    }
    let Some(service) = service.take() else { return Ok(()) };
    let mut builder = thread::Builder::new().name(Escaped(&shown).to_string());
    if let Some(bytes) = options.stack_size {
        builder = builder.stack_size(bytes);
    }
    let (restart, id) = (options.restart.clone(), slot.id());
    let watch = start_limit.map(|limit| watch_start(slot, limit));
    let ctx = Context::for_member(shown, clock, slot.clone());
    let run = move || {
        supervise(service, ctx, id, restart);
        drop(watch);
    };
    // If there is no thread, the service is dropped here, and its `Drop` is user code.
    let spawned = catch_panic(|| builder.spawn(run)).unwrap_or_else(|text| Err(io::Error::other(text)));
    spawned.map(drop).map_err(AddError::NoThread)
}

/// Requests the stop of a member that misses its start timeout, when that has passed. The registry records the failure.
fn watch_start(slot: &Arc<MemberSlot>, limit: StartLimit) -> (StopCallback, StopSource) {
    let (timer, member) = (StopSource::new(), Arc::downgrade(slot));
    let callback = timer.token().on_stop(move || {
        let Some(member) = member.upgrade() else { return };
        if member.registry().fail_if_start_timed_out(member.id()) {
            request_member_stop(&member, None, None);
        }
    });
    timer.request_stop_at(Some(limit.at));
    (callback, timer)
}
