//! The registry: which service is in which state. The single source of truth of a host, under one lock, with one condvar.
//!
//! The threads of services record what happens to them, the owner of the host waits for what concerns it, and anybody may
//! read. No other folder sees a record: everyone calls the verbs of [`Registry`].
//!
//! # Invariants
//!
//! 1. The first reason to stop wins. `stopping` is stopped in the same step, under the lock.
//! 2. The host is `Started` if every service was ready, or had failed and was ignored, before there was a reason to stop.
//! 3. From the first reason to stop on, no service starts that has not been started.
//! 4. The counters agree with the records ([`counts`]).
//! 5. Events are published under the lock, so that their order is the order of what happened: publishing waits for nobody
//!    and calls no user code. Log records are written after the lock is released, because a logger is user code.
//!
//! # Lock order
//!
//! The tree of a host's groups, then the registry of a host, then the registries of the groups in it, then the event bus
//! and the nodes of stop tokens. No user code runs under any of these locks.

mod event_bus;
mod deadline;
mod stuck;
mod progress;
mod record;
mod counts;
mod transitions;
mod exits;
mod waits;
mod member_slot;
mod members;
mod snapshot;
mod handle;
mod callbacks;
#[cfg(feature = "disconnect")]
mod disconnect;
#[cfg(test)]
mod observe;

pub(crate) use deadline::DeadlineKind;
#[cfg(all(feature = "io", target_os = "linux"))]
pub(crate) use deadline::DeadlineWatch;
pub use handle::HostHandle;
pub(crate) use member_slot::{MemberSlot, NewMember, Refused};
#[cfg(test)]
#[allow(unused_imports, reason = "only the models use it")]
pub(crate) use observe::ObservedService;
pub(crate) use progress::StartLimit;
pub(crate) use record::{Policy, Retired};
pub(crate) use stuck::StuckService;
pub(crate) use waits::{ShutdownEvent, StartupEvent};

use crate::report::{Event, EventKind, EventScope, HostState, ServiceError, StopReason};
use crate::stop::{PendingCallbacks, StopSource};
use crate::util::sync::{Arc, Condvar, Mutex, now};
use crate::util::time::since;
use counts::Counts;
use event_bus::EventBus;
use members::Members;
use record::ServiceRecord;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A service of a host: its place in the order of registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceId(u32);

impl ServiceId {
    pub(crate) fn new(index: usize) -> Self {
        // A host with four billion services has no memory left for the next one.
        ServiceId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a group is given for its stop. It passes both on to the groups in it unchanged, so that the margin between the two
/// is taken once, however deep groups are nested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopBy {
    /// By when the group, and everything in it, should have stopped.
    pub(crate) deadline: Instant,
    /// Until when the outermost host waits. `None` if it waits as long as it takes.
    pub(crate) end: Option<Instant>,
}

pub(crate) struct Registry {
    state: Mutex<RegistryState>,
    /// Notified when something has happened that the owner of the host waits for.
    changed: Condvar,
    /// Stopped when there is a reason to stop the host.
    stopping: StopSource,
    /// Stopped when the whole host has started: a latch.
    started: StopSource,
    /// One for a host and all the groups in it.
    bus: Arc<EventBus>,
    /// Held while a group gets another registry. One for a host and all the groups in it.
    tree: Arc<Mutex<()>>,
}

struct RegistryState {
    /// The name of the outermost host, if it has one.
    name: Option<Arc<str>>,
    /// The name of the group whose services these are.
    group: Option<Arc<str>>,
    host: HostState,
    reason: Option<StopReason>,
    records: Vec<ServiceRecord>,
    /// If these are the members of a dynamic group: what only such a registry has.
    members: Option<Box<Members>>,
    /// The groups that have a registry of their own.
    groups: BTreeSet<ServiceId>,
    /// The final failures that are not ignored, the first one first.
    failures: Vec<ServiceError>,
    /// The services that were resolved since the owner last looked: what a start waits for.
    resolved: Vec<ServiceId>,
    /// The services that exited since the owner last looked: what a shutdown waits for.
    exited: Vec<ServiceId>,
    /// When the start began, and of how many services.
    start: Option<(Instant, usize)>,
    /// Every service was ready, or had failed and was ignored, before there was a reason to stop.
    has_started: bool,
    counts: Counts,
    /// The time that a stop of this host has, whatever it was given: that of a group, when its host stops.
    stop_by: Option<StopBy>,
    stop_began: Option<Instant>,
    stop_ended: Option<Instant>,
    /// How many services were hung when the last shutdown ended.
    left_hung: usize,
    stopping: StopSource,
    started: StopSource,
    bus: Arc<EventBus>,
    /// Emitted, and to be logged once the lock is released.
    pending_log: Vec<Event>,
    notify_owner: bool,
}

impl Registry {
    /// Creates a registry. That of a group shares the events and the start of the host that the group is in.
    pub(crate) fn new(host: Option<(&Registry, Arc<str>)>) -> Arc<Self> {
        let stopping = StopSource::new();
        let (bus, started, tree) = match &host {
            Some((host, _)) => (host.bus.clone(), host.started.clone(), host.tree.clone()),
            None => Default::default(),
        };
        let state = RegistryState {
            name: host.as_ref().and_then(|(host, _)| host.read(|state| state.name.clone())),
            group: host.map(|(_, group)| group),
            host: HostState::New,
            reason: None,
            records: Vec::new(),
            members: None,
            groups: BTreeSet::new(),
            failures: Vec::new(),
            resolved: Vec::new(),
            exited: Vec::new(),
            start: None,
            has_started: false,
            counts: Counts::default(),
            stop_by: None,
            stop_began: None,
            stop_ended: None,
            left_hung: 0,
            stopping: stopping.clone(),
            started: started.clone(),
            bus: bus.clone(),
            pending_log: Vec::new(),
            notify_owner: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Arc::new(Registry { state, changed, stopping, started, bus, tree })
    }

    /// Gives the host a name, which stands in its events, log lines and report.
    pub(crate) fn set_name(&self, name: Arc<str>) {
        self.update(|state| state.name = Some(name));
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.read(|state| state.name.clone())
    }

    /// Adds a service. Returns its id, and the state of the host: only a new host will start it.
    pub(crate) fn add(&self, name: Arc<str>, retired: Retired) -> (ServiceId, HostState) {
        self.update(|state| {
            state.records.push(ServiceRecord::new(name, retired));
            (ServiceId::new(state.records.len() - 1), state.host)
        })
    }

    /// Changes the state. Then, without the lock, logs what was emitted and wakes the owner if it waits for the change.
    fn update<R>(&self, change: impl FnOnce(&mut RegistryState) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.counts.check(&state.records, state.start.map(|(_, services)| services));
        let events = std::mem::take(&mut state.pending_log);
        let notify_owner = std::mem::take(&mut state.notify_owner);
        let aftermath = state.members.as_mut().and_then(|members| members.take_aftermath());
        drop(state);
        for event in events {
            event.log();
        }
        if notify_owner {
            self.changed.notify_all();
        }
        if let Some(aftermath) = aftermath {
            aftermath.settle();
        }
        result
    }

    fn read<R>(&self, read: impl FnOnce(&RegistryState) -> R) -> R {
        read(&self.state.lock())
    }

    /// Emits an event about a service, or about the host.
    pub(crate) fn emit(&self, service: Option<Arc<str>>, kind: EventKind) {
        self.update(|state| state.emit(service, kind));
    }

    /// A subscription to every event from now on, of the groups too.
    pub(crate) fn subscribe(&self) -> crossbeam_channel::Receiver<Event> {
        self.bus.subscribe()
    }

    pub(crate) fn host_state(&self) -> HostState {
        self.read(|state| state.host)
    }

    /// Begins the start of `services` services. Returns the reason if a stop was requested before.
    pub(crate) fn begin_start(&self, services: usize) -> Result<PendingCallbacks, StopReason> {
        self.update(|state| match &state.reason {
            None => Ok(state.begin_start(services)),
            Some(reason) => Err(reason.clone()),
        })
    }

    /// Requests the stop of the host. The caller must run the callbacks of `stopping`.
    pub(crate) fn request_stop(&self, reason: StopReason) -> PendingCallbacks {
        self.update(|state| state.request_stop(reason))
    }

    /// The host stops without having started anything.
    pub(crate) fn stop_unstarted(&self, reason: StopReason) -> PendingCallbacks {
        self.update(|state| {
            state.host = HostState::Stopped;
            state.request_stop(reason)
        })
    }

    /// Begins a shutdown. Returns the callbacks of `stopping`, and the time that the host of a group has set.
    pub(crate) fn begin_shutdown(&self) -> (PendingCallbacks, Option<StopBy>) {
        self.update(|state| {
            let callbacks = state.request_stop(StopReason::Requested);
            state.host = HostState::Stopping;
            if state.stop_began.is_none() {
                state.stop_began = Some(now());
                let reason = state.reason.clone().unwrap_or(StopReason::Requested);
                state.emit(None, EventKind::HostStopping { reason });
            }
            (callbacks, state.stop_by)
        })
    }

    /// Ends a shutdown, with whatever is left.
    pub(crate) fn end_shutdown(&self) {
        self.update(|state| {
            let now = now();
            state.stop_ended = Some(now);
            state.host = HostState::Stopped;
            state.release_ended_threads();
            let hung = state.records.iter().filter(|record| record.hung().is_some()).count();
            state.left_hung = hung;
            let took = state.stop_began.map_or(Duration::ZERO, |began| now - began);
            state.emit(None, EventKind::HostStopped { took, hung });
        });
    }

    /// Limits the time of a stop of this host to `by`, whatever the stop was given.
    pub(crate) fn limit_stop(&self, by: Option<StopBy>) {
        self.update(|state| {
            state.stop_by = by;
            state.notify_owner = true;
        });
    }

    /// Why the host stopped, when its shutdown began, and how long it took.
    pub(crate) fn stop_summary(&self) -> (Option<StopReason>, Option<Instant>, Duration) {
        self.read(|state| {
            let took = state.stop_began.zip(state.stop_ended).map_or(Duration::ZERO, |(began, ended)| ended - began);
            (state.reason.clone(), state.stop_began, took)
        })
    }

    /// Returns `true` if another shutdown has something to do: threads to wait for, or services to report that were hung and have
    /// stopped since.
    pub(crate) fn has_unfinished_stop(&self) -> bool {
        self.read(|state| state.counts.outstanding > 0 || state.left_hung > 0)
    }
}

impl RegistryState {
    fn record(&mut self, id: ServiceId) -> &mut ServiceRecord {
        &mut self.records[id.index()]
    }

    fn emit(&mut self, service: Option<Arc<str>>, kind: EventKind) {
        let level = kind.level(self.event_scope());
        // Not `log_enabled!`, because that calls the logger, which is user code.
        let is_logged = level <= log::max_level();
        if !is_logged && !self.bus.has_subscribers() {
            return;
        }
        let event = Event::now(self.name.clone(), service.or_else(|| self.group.clone()), kind, level);
        self.bus.publish(&event);
        if is_logged {
            self.pending_log.push(event);
        }
    }

    fn event_scope(&self) -> EventScope {
        match (&self.members, &self.group) {
            (Some(_), _) => EventScope::DynamicGroup,
            (None, Some(_)) => EventScope::Group,
            (None, None) => EventScope::Host,
        }
    }

    fn emit_for(&mut self, id: ServiceId, kind: EventKind) {
        let name = self.record(id).name.clone();
        self.emit(Some(name), kind);
    }

    /// The first reason wins (invariant 1).
    fn request_stop(&mut self, reason: StopReason) -> PendingCallbacks {
        if self.reason.is_some() {
            return PendingCallbacks::default();
        }
        self.reason = Some(reason);
        if matches!(self.host, HostState::Starting | HostState::Started) {
            self.host = HostState::Stopping;
        }
        self.notify_owner = true;
        self.stopping.signal().unwrap_or_default()
    }

    fn begin_start(&mut self, services: usize) -> PendingCallbacks {
        self.host = HostState::Starting;
        self.start = Some((now(), services));
        (self.counts.living, self.counts.unresolved) = (services, services);
        self.emit(None, EventKind::HostStarting { services });
        self.finish_start_if_resolved()
    }

    /// The start no longer waits for the service: it is ready, or has failed and is ignored.
    fn resolve_start(&mut self, id: ServiceId) -> PendingCallbacks {
        if std::mem::replace(&mut self.record(id).start.resolved, true) {
            return PendingCallbacks::default();
        }
        self.counts.unresolved -= 1;
        self.notify_owner |= self.is_watched();
        if self.members.is_some() {
            return PendingCallbacks::default(); // no start waits for a member
        }
        self.resolved.push(id);
        self.finish_start_if_resolved()
    }

    /// Decides under the lock whether the host has started (invariant 2), so that it does not matter when the owner checks.
    fn finish_start_if_resolved(&mut self) -> PendingCallbacks {
        if self.counts.unresolved > 0 || self.host != HostState::Starting {
            return PendingCallbacks::default();
        }
        self.host = HostState::Started;
        self.has_started = true;
        let took = self.start.map_or(Duration::ZERO, |(began, _)| since(began));
        self.emit(None, EventKind::HostStarted { took });
        if self.group.is_none() {
            // The latch has no callbacks. The start of a group is only a part of the start of its host.
            _ = self.started.signal();
        }
        self.stop_if_all_completed()
    }

    fn stop_if_all_completed(&mut self) -> PendingCallbacks {
        // A dynamic group without members waits for the next one.
        let is_over = self.counts.living == 0 && self.host == HostState::Started && self.members.is_none();
        if is_over { self.request_stop(StopReason::AllCompleted) } else { PendingCallbacks::default() }
    }

    /// A thread or a callback is done. The last one wakes the owner, not each of thousands.
    fn thread_finished(&mut self) {
        self.counts.outstanding -= 1;
        self.notify_owner |= self.counts.unjoined == 0; // also true if nothing is outstanding
    }
}
