//! The members of a dynamic group: services that are added, and forgotten when they have ended, while their registry is in use.
//!
//! # Invariants
//!
//! 1. A member is *alive* from its addition until nothing of it is left: no thread, no callback. Its name is taken for as long,
//!    and it counts against the limit.
//! 2. The id of a member refers to no other member. The place of a record is used again only when the member is not alive and
//!    nobody has a [`MemberSlot`] of it. Every context of a member, every handle, and its thread have one.
//! 3. When there is a reason to stop, no member is added, and no record is removed: the report lists the members of that moment.
//! 4. Records, slots and errors hold user values, so they are dropped after the lock is released: [`Aftermath`].

use super::member_slot::{MemberSlot, NewMember, Refused};
use super::progress::{Life, MemberRecord, Progress};
use super::record::{Retired, ServiceRecord};
use super::{Registry, RegistryState, ServiceId};
use crate::diagnose::Waits;
use crate::report::{HostState, MemberCounts, Outcome, ServiceError, StopReason, drop_error};
use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::sync::{Arc, Weak, now};
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// The state of a registry whose services are members of a dynamic group.
pub(super) struct Members {
    /// The members that are alive, by the names that they were added with.
    names: HashMap<Arc<str>, Arc<MemberSlot>>,
    limit: Option<usize>,
    /// The places of `records` that are vacant.
    vacant: BTreeSet<u32>,
    /// How many members have been added: the number of the next member.
    added: u64,
    ended: u64,
    failed: u64,
    /// The registry and the id of the service that runs the group. `None` without a host.
    group: Option<(Weak<Registry>, ServiceId)>,
    /// How many threads wait for a member to be ready.
    waiting_for_ready: usize,
    /// Stopped when a member has ended: threads that wait for room.
    waiting_for_room: Vec<StopSource>,
    aftermath: Aftermath,
}

/// What a change of the members leaves to be done without the lock.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Failures of members, for the row of the group. `true` if the failure stops the host.
    failures: Vec<(ServiceError, bool)>,
    slots: Vec<Arc<MemberSlot>>,
    records: Vec<ServiceRecord>,
    woken: Vec<StopSource>,
    group: Option<(Weak<Registry>, ServiceId)>,
}

impl Aftermath {
    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.slots.is_empty() && self.records.is_empty() && self.woken.is_empty()
    }

    pub(super) fn settle(mut self) {
        self.woken.iter().for_each(|source| _ = source.request_stop());
        if let Some((group, id)) = self.group.and_then(|(group, id)| Some((group.upgrade()?, id))) {
            self.failures.iter().for_each(|(error, stops_host)| group.count_member_failure(id, error, *stops_host));
        }
        // One by one, because two panics in one `drop` abort the process.
        self.failures.into_iter().for_each(drop_error);
        self.records.iter_mut().for_each(ServiceRecord::drop_errors);
    }
}

impl Members {
    /// Returns what is to be done once the lock is released.
    pub(super) fn take_aftermath(&mut self) -> Option<Aftermath> {
        if self.aftermath.is_empty() {
            return None;
        }
        self.aftermath.group = self.group.clone();
        Some(std::mem::take(&mut self.aftermath))
    }

    pub(super) fn counts(&self) -> MemberCounts {
        MemberCounts { alive: self.names.len(), ended: self.ended, failed: self.failed }
    }

    fn is_full(&self) -> bool {
        self.limit.is_some_and(|limit| self.names.len() >= limit)
    }
}

impl Registry {
    /// Makes this the registry of a dynamic group, which is run by the service `group`.
    pub(crate) fn open_for_members(&self, limit: Option<usize>, group: Option<(Weak<Registry>, ServiceId)>) {
        self.update(|state| {
            state.host = HostState::Started;
            #[cfg(feature = "metrics")]
            state.count_members_together();
            state.members = Some(Box::new(Members {
                names: HashMap::new(),
                limit,
                vacant: BTreeSet::new(),
                added: 0,
                ended: 0,
                failed: 0,
                group,
                waiting_for_ready: 0,
                waiting_for_room: Vec::new(),
                aftermath: Aftermath::default(),
            }));
        });
    }

    /// Adds a member whose thread is about to be created, under its full name `shown`.
    pub(crate) fn add_member(
        self: &Arc<Self>,
        new: NewMember,
        shown: Arc<str>,
        retired: StopSource,
    ) -> Result<Arc<MemberSlot>, Refused> {
        self.update(|state| {
            state.check_new_member(&new.name)?;
            let id = state.add_record(&new, shown, retired);
            let slot = Arc::new(MemberSlot::new(self.clone(), id, new));
            if let Some(members) = &mut state.members {
                members.names.insert(slot.name.clone(), slot.clone());
            }
            Ok(slot)
        })
    }

    /// The thread of a member could not be created: the member was never there.
    pub(crate) fn undo_add_member(&self, id: ServiceId) {
        self.undo_begin_service(id);
        self.update(|state| {
            state.counts.living -= 1;
            state.end_member_if_finished(id);
            // It counts neither as ended nor as failed, and no report lists it.
            state.record(id).member.iter_mut().for_each(|member| member.life = Life::Forgotten);
            state.members.iter_mut().for_each(|members| members.ended -= 1);
        });
    }

    /// Returns the member of that name, if it is alive.
    pub(crate) fn member(&self, name: &str) -> Option<Arc<MemberSlot>> {
        self.read(|state| state.members.as_ref()?.names.get(name).cloned())
    }

    /// Returns the members that are alive.
    pub(crate) fn living_members(&self) -> Vec<Arc<MemberSlot>> {
        self.read(|state| state.members.iter().flat_map(|members| members.names.values().cloned()).collect())
    }

    /// Returns the number of members that are alive.
    pub(crate) fn member_count(&self) -> usize {
        self.read(|state| state.members.as_ref().map_or(0, |members| members.names.len()))
    }

    /// Returns the number of places for records, of which some may be vacant.
    pub(crate) fn capacity_of_records(&self) -> usize {
        self.read(|state| state.records.len())
    }

    /// Registers a thread that waits for room, unless there is room. Returns a token that is stopped when a member has ended, and
    /// with `stop`.
    pub(crate) fn register_for_room(&self, stop: &StopToken) -> Option<StopToken> {
        let source = StopSource::linked([stop]);
        let token = source.token();
        self.update(|state| {
            let members = state.members.as_mut().filter(|members| members.is_full())?;
            members.waiting_for_room.retain(|waiting| !waiting.stop_requested()); // those that a stop has ended
            members.waiting_for_room.push(source);
            Some(token)
        })
    }

    /// Requests the stop of a member that should stop by `deadline`, and is waited for until `end`. If it is the stop of this member
    /// alone, times that the member has already only move closer, because the stop of the group may be in progress.
    ///
    /// Returns the callbacks that the caller must run, and the full name of the member, if there are callbacks. Does nothing if the
    /// member has exited. All of it is one step: if the member ended between its stop request and the registration of its
    /// callbacks, its name would be free while its callbacks run (invariant 1).
    pub(crate) fn request_member_stop(
        &self,
        member: &MemberSlot,
        deadline: Option<Instant>,
        end: Option<Instant>,
        alone: bool,
    ) -> Option<(PendingCallbacks, Arc<str>)> {
        let id = member.id();
        let request = self.update(|state| {
            let record = state.record(id);
            if record.is_over() {
                return None;
            }
            let known = if alone { (record.stop.deadline, record.stop.end) } else { (None, None) };
            let closer = |own: Option<Instant>, known: Option<Instant>| own.into_iter().chain(known).min();
            let request = state.mark_stop_requested(id, closer(deadline, known.0), closer(end, known.1));
            let request = request.followed_by(member.source.signal().unwrap_or_default());
            let name = request.has_callbacks().then(|| state.begin_callbacks(id));
            Some((request, name))
        });
        let (request, name) = request?;
        Some((request.announce(), name?))
    }

    /// Blocks until nothing of the member is left, or until `until`. Returns how it ended.
    pub(crate) fn wait_for_member(&self, id: ServiceId, until: Option<Instant>) -> Option<Outcome> {
        self.wait_as(Waits::Member, until, |state| {
            let record = state.record(id);
            (!record.is_living_member()).then(|| record.outcome())
        })
    }

    /// Blocks until the first start of the member has succeeded, or the member has ended, or until `until`. Returns `Some(None)` if
    /// the start has succeeded, and how the member ended otherwise.
    pub(crate) fn wait_for_ready(&self, id: ServiceId, until: Option<Instant>) -> Option<Option<Outcome>> {
        let count = |change: fn(&mut usize)| {
            self.update(|state| state.members.iter_mut().for_each(|members| change(&mut members.waiting_for_ready)));
        };
        count(|waiting| *waiting += 1);
        let found = self.wait_as(Waits::Member, until, |state| {
            let record = state.record(id);
            if record.start.took.is_some() {
                return Some(None);
            }
            // A member whose thread could not be created never exits.
            let has_ended = record.has_exited() || !record.is_living_member();
            has_ended.then(|| Some(record.outcome()))
        });
        count(|waiting| *waiting -= 1);
        found
    }

    /// A member of the dynamic group that the service `id` runs has failed.
    fn count_member_failure(&self, id: ServiceId, error: &ServiceError, stops_host: bool) {
        let callbacks = self.update(|state| {
            state.record(id).count_error(error.to_string());
            if !stops_host {
                return Default::default();
            }
            if let Some(members) = &mut state.members {
                // The group is a member itself, and the host is further out.
                members.aftermath.failures.push((error.clone(), true));
                return Default::default();
            }
            state.failures.push(error.clone());
            state.request_stop(StopReason::Failed(error.shared_service()))
        });
        callbacks.run_on_thread();
    }
}

impl RegistryState {
    /// Returns `true` if a thread waits for a service to be ready, or to exit. For a member hardly ever: its end alone wakes a thread.
    pub(super) fn is_watched(&self) -> bool {
        self.members.as_ref().is_none_or(|members| members.waiting_for_ready > 0) || self.stop_began.is_some()
    }

    /// The failure of a member is that of its group, which counts it.
    pub(super) fn pass_on_member_failure(&mut self, error: &ServiceError, stops_host: bool) -> bool {
        let Some(members) = &mut self.members else { return false };
        members.aftermath.failures.push((error.clone(), stops_host));
        true
    }

    /// Returns `true` from the moment on at which the stop of the group is requested (invariant 3).
    fn is_closed(&self) -> bool {
        self.reason.is_some() || self.stop_by.is_some()
    }

    fn check_new_member(&self, name: &str) -> Result<(), Refused> {
        match &self.members {
            Some(members) if !self.is_closed() => match members.names.contains_key(name) {
                true => Err(Refused::Duplicate),
                false if members.is_full() => Err(Refused::Full),
                false => Ok(()),
            },
            _ => Err(Refused::Stopped),
        }
    }

    /// Adds the record of a member whose thread is about to be created.
    fn add_record(&mut self, new: &NewMember, shown: Arc<str>, retired: StopSource) -> ServiceId {
        let mut record = ServiceRecord::new(shown, Retired::Own(retired));
        (record.policy, record.start.limit) = (new.policy, new.start_limit);
        self.counts.outstanding += 1;
        self.counts.living += 1;
        self.counts.unresolved += 1;
        let (mut number, mut vacant) = (0, None);
        if let Some(members) = &mut self.members {
            number = members.added;
            members.added += 1;
            vacant = members.vacant.pop_first();
        }
        let name = new.name.clone();
        record.member = Some(MemberRecord { name, number, life: Life::Alive, has_slot: true });
        record.start.began = Some(now());
        record.advance(Progress::Starting);
        match vacant {
            Some(index) => {
                self.records[index as usize] = record;
                ServiceId(index)
            }
            None => {
                self.records.push(record);
                ServiceId::new(self.records.len() - 1)
            }
        }
    }

    /// If nothing of the member is left, it is no longer alive: its name is free (invariant 1). Does nothing for other services.
    pub(super) fn end_member_if_finished(&mut self, id: ServiceId) {
        let is_closed = self.is_closed();
        let record = &mut self.records[id.index()];
        let is_finished = record.is_finished();
        let (failed, resolved) = (record.failure.is_some(), record.start.resolved);
        let Some(member) = record.member.as_mut().filter(|member| is_finished && member.is_alive()) else { return };
        member.life = if is_closed { Life::Ended } else { Life::Forgotten };
        self.counts.unresolved -= usize::from(!resolved);
        self.notify_owner = true;
        if let Some(members) = &mut self.members {
            members.ended += 1;
            members.failed += u64::from(failed);
            members.aftermath.slots.extend(members.names.remove(&member.name));
            members.aftermath.woken.append(&mut members.waiting_for_room);
            if members.names.capacity() > 64 && members.names.len() < members.names.capacity() / 4 {
                members.names.shrink_to(members.names.capacity() / 2);
            }
        }
    }

    /// Makes the place of a forgotten member vacant if nobody has a slot of it (invariant 2).
    pub(super) fn vacate_if_unused(&mut self, id: ServiceId) {
        let is_unused = |member: &MemberRecord| member.is_forgotten() && !member.has_slot;
        if self.is_closed() || !self.record(id).member.as_ref().is_some_and(is_unused) {
            return; // invariant 3
        }
        let Some(members) = &mut self.members else { return };
        let name = self.group.clone().unwrap_or_default();
        let mut blank = ServiceRecord::new(name.clone(), Retired::WithGroup(self.stopping.token()));
        blank.member = Some(MemberRecord { name, number: 0, life: Life::Forgotten, has_slot: false });
        members.aftermath.records.push(std::mem::replace(&mut self.records[id.index()], blank));
        members.vacant.insert(id.0);
        self.groups.remove(&id);
        self.remove_vacant_end();
    }

    /// Frees the memory of a group that has become smaller.
    fn remove_vacant_end(&mut self) {
        let Some(members) = &mut self.members else { return };
        while self.records.len().checked_sub(1).is_some_and(|last| members.vacant.remove(&ServiceId::new(last).0)) {
            self.records.pop(); // a blank record has no user values
        }
        let capacity = self.records.capacity();
        if capacity > 8 && self.records.len() < capacity / 4 {
            self.records.shrink_to(capacity / 2);
        }
    }
}

impl ServiceRecord {
    /// Returns `true` if the service is a member of a dynamic group, and something of it is left.
    pub(super) fn is_living_member(&self) -> bool {
        self.member.as_ref().is_some_and(MemberRecord::is_alive)
    }
}
