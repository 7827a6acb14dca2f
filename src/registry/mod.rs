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
mod stalls;
mod progress;
mod health;
#[cfg(feature = "metrics")]
mod metered;
mod record;
mod counts;
mod lifecycle;
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
pub(crate) use stalls::Watch;
pub(crate) use stuck::StuckService;
pub(crate) use waits::{ShutdownEvent, StartupEvent};

use crate::report::{Event, EventKind, EventScope, HostState, ServiceError, StopReason};
use crate::stop::StopSource;
#[cfg(feature = "metrics")]
use crate::util::metrics::ServiceChange;
use crate::util::sync::{Arc, Condvar, Mutex};
use counts::Counts;
use event_bus::EventBus;
use members::Members;
use record::ServiceRecord;
use stalls::StallMonitor;
use std::collections::BTreeSet;
use std::time::Instant;

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
    /// Finds stalled services. One for a host and all the groups in it.
    monitor: Arc<StallMonitor>,
}

struct RegistryState {
    /// The name of the outermost host, if it has one.
    name: Option<Arc<str>>,
    /// The name of the group whose services these are.
    group: Option<Arc<str>>,
    host: HostState,
    reason: Option<StopReason>,
    records: Vec<ServiceRecord>,
    /// What only the registry of a dynamic group has, whose services are members.
    members: Option<Box<Members>>,
    /// The registries of the groups.
    groups: BTreeSet<ServiceId>,
    /// The final failures that are not ignored, the first one first.
    failures: Vec<ServiceError>,
    /// The services that were resolved since the owner last checked: what a start waits for.
    resolved: Vec<ServiceId>,
    /// The services that exited since the owner last checked: what a shutdown waits for.
    exited: Vec<ServiceId>,
    /// When the start began, and of how many services.
    start: Option<(Instant, usize)>,
    /// Whether every service was ready, or had failed and was ignored, before there was a reason to stop.
    has_started: bool,
    counts: Counts,
    /// The time that the outer host gives to the stop of this group. It limits every stop of this host.
    stop_by: Option<StopBy>,
    stop_began: Option<Instant>,
    /// Until when the owner waits in the latest shutdown. `None` if it waits as long as it takes.
    stop_end: Option<Instant>,
    stop_ended: Option<Instant>,
    /// How many services were hung when the last shutdown ended.
    left_hung: usize,
    stopping: StopSource,
    started: StopSource,
    bus: Arc<EventBus>,
    /// The events that were emitted, to be logged once the lock is released.
    pending_log: Vec<Event>,
    notify_owner: bool,
    /// The services that were accessed since the metrics were last recorded.
    #[cfg(feature = "metrics")]
    accessed: Vec<ServiceId>,
    /// `false` for the members of a dynamic group and for what is inside them: their names are too many for labels.
    #[cfg(feature = "metrics")]
    is_metered: bool,
}

impl Registry {
    /// Creates a registry. The registry of a group shares the events and the start latch of its outer host.
    pub(crate) fn new(host: Option<(&Registry, Arc<str>)>) -> Arc<Self> {
        let stopping = StopSource::new();
        #[cfg(feature = "metrics")]
        let is_metered = host.as_ref().is_none_or(|(host, _)| host.read(|state| state.is_metered));
        let (bus, started, tree, monitor) = match &host {
            Some((host, _)) => (host.bus.clone(), host.started.clone(), host.tree.clone(), host.monitor.clone()),
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
            stop_end: None,
            stop_ended: None,
            left_hung: 0,
            stopping: stopping.clone(),
            started: started.clone(),
            bus: bus.clone(),
            pending_log: Vec::new(),
            notify_owner: false,
            #[cfg(feature = "metrics")]
            accessed: Vec::new(),
            #[cfg(feature = "metrics")]
            is_metered,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Arc::new(Registry { state, changed, stopping, started, bus, tree, monitor })
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
            let id = ServiceId::new(state.records.len());
            state.records.push(ServiceRecord::new(name, retired));
            _ = state.record(id); // records its metrics
            (id, state.host)
        })
    }

    /// Changes the state. Then, without the lock, logs what was emitted, records the metrics, and wakes the owner if it waits for
    /// the change.
    fn update<R>(&self, change: impl FnOnce(&mut RegistryState) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.counts.check(&state.records, state.start.map(|(_, services)| services));
        let events = std::mem::take(&mut state.pending_log);
        let notify_owner = std::mem::take(&mut state.notify_owner);
        let aftermath = state.members.as_mut().and_then(|members| members.take_aftermath());
        #[cfg(feature = "metrics")]
        let changes = state.take_service_changes();
        drop(state);
        for event in events {
            event.log();
        }
        #[cfg(feature = "metrics")]
        changes.iter().for_each(ServiceChange::record);
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

    /// Subscribes to every event from now on, including those of groups.
    pub(crate) fn subscribe(&self) -> crossbeam_channel::Receiver<Event> {
        self.bus.subscribe()
    }

    pub(crate) fn host_state(&self) -> HostState {
        self.read(|state| state.host)
    }
}

impl RegistryState {
    fn record(&mut self, id: ServiceId) -> &mut ServiceRecord {
        #[cfg(feature = "metrics")]
        if self.is_metered {
            self.accessed.push(id);
        }
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

    /// Records that a thread or a callback is done. Only the last one wakes the owner, not each of thousands.
    fn thread_finished(&mut self) {
        self.counts.outstanding -= 1;
        self.notify_owner |= self.counts.unjoined == 0; // also true if nothing is outstanding
    }
}
