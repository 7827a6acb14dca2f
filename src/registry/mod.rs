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
mod transitions;
mod exits;
mod shutdown;
mod waits;
mod drain;
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
pub(crate) use drain::DrainWait;
pub use handle::HostHandle;
#[cfg(test)]
#[allow(unused_imports, reason = "only the models use it")]
pub(crate) use observe::ObservedService;
pub(crate) use progress::StartLimit;
pub(crate) use record::{Policy, Retired};
pub(crate) use stalls::Watch;
pub(crate) use stuck::StuckService;
pub(crate) use waits::{ShutdownEvent, StartupEvent};

use crate::clock::Clock;
use crate::report::{Event, EventKind, HostState, ServiceError, StopReason};
use crate::stop::{PendingCallbacks, StopSource};
#[cfg(feature = "metrics")]
use crate::util::metrics::ServiceChange;
use crate::util::sync::{Arc, Condvar, Mutex, now};
use crate::util::time::since;
use counts::Counts;
use drain::Drain;
use event_bus::EventBus;
use record::ServiceRecord;
use stalls::StallMonitor;
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
    /// The clock of the host.
    clock: Clock,
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
    /// The groups that have a registry of their own.
    groups: BTreeSet<ServiceId>,
    /// The final failures that are not ignored, the first one first.
    failures: Vec<ServiceError>,
    /// The services that were resolved since the owner last looked: what a start waits for.
    resolved: Vec<ServiceId>,
    /// The services that exited since the owner last looked: what a shutdown waits for.
    exited: Vec<ServiceId>,
    drain: Option<Drain>,
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
    /// The services that were accessed since the metrics were last recorded.
    #[cfg(feature = "metrics")]
    accessed: Vec<ServiceId>,
}

impl Registry {
    /// Creates a registry. That of a group shares the events and the start of the host that the group is in.
    pub(crate) fn new(host: Option<(&Registry, Arc<str>)>, clock: Clock) -> Arc<Self> {
        let stopping = StopSource::new();
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
            groups: BTreeSet::new(),
            failures: Vec::new(),
            resolved: Vec::new(),
            exited: Vec::new(),
            drain: None,
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
            #[cfg(feature = "metrics")]
            accessed: Vec::new(),
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Arc::new(Registry { state, clock, changed, stopping, started, bus, tree, monitor })
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

    /// Changes the state. Then, without the lock, logs what was emitted and wakes the owner if it waits for the change.
    fn update<R>(&self, change: impl FnOnce(&mut RegistryState) -> R) -> R {
        let mut state = self.state.lock();
        let result = change(&mut state);
        state.counts.check(&state.records, state.start.map(|(_, services)| services));
        let events = std::mem::take(&mut state.pending_log);
        let notify_owner = std::mem::take(&mut state.notify_owner);
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

    /// Begins the start of the services with these policies. Returns the reason if a stop was requested before.
    pub(crate) fn begin_start(&self, policies: &[Policy]) -> Result<PendingCallbacks, StopReason> {
        self.update(|state| match &state.reason {
            None => Ok(state.begin_start(policies)),
            Some(reason) => Err(reason.clone()),
        })
    }

    /// Requests the stop of the host. The caller must run the callbacks of `stopping`.
    pub(crate) fn request_stop(&self, reason: StopReason) -> PendingCallbacks {
        let now = self.clock.now(); // before the lock, because the clock has its own
        self.update(|state| state.request_stop_at(reason, now))
    }

    /// The host stops without having started anything.
    pub(crate) fn stop_unstarted(&self, reason: StopReason) -> PendingCallbacks {
        self.update(|state| {
            state.host = HostState::Stopped;
            state.request_stop(reason)
        })
    }
}

impl RegistryState {
    fn record(&mut self, id: ServiceId) -> &mut ServiceRecord {
        #[cfg(feature = "metrics")]
        self.accessed.push(id);
        &mut self.records[id.index()]
    }

    fn emit(&mut self, service: Option<Arc<str>>, kind: EventKind) {
        let level = kind.level(self.group.is_some());
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

    fn emit_for(&mut self, id: ServiceId, kind: EventKind) {
        let name = self.record(id).name.clone();
        self.emit(Some(name), kind);
    }

    /// The first reason wins (invariant 1).
    fn request_stop(&mut self, reason: StopReason) -> PendingCallbacks {
        if self.reason.is_some() {
            self.end_drain();
            return PendingCallbacks::default();
        }
        self.reason = Some(reason);
        if matches!(self.host, HostState::Starting | HostState::Started) {
            self.host = HostState::Stopping;
        }
        self.notify_owner = true;
        self.stopping.signal().unwrap_or_default()
    }

    fn begin_start(&mut self, policies: &[Policy]) -> PendingCallbacks {
        let services = policies.len();
        self.records.iter_mut().zip(policies).for_each(|(record, policy)| record.policy = *policy);
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
        self.resolved.push(id);
        self.notify_owner = true;
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
        let is_over = self.counts.living == 0 && self.host == HostState::Started;
        if self.counts.living == 0 {
            self.end_drain();
        }
        if is_over { self.request_stop(StopReason::AllCompleted) } else { PendingCallbacks::default() }
    }

    /// A thread or a callback is done. The last one wakes the owner, not each of thousands.
    fn thread_finished(&mut self) {
        self.counts.outstanding -= 1;
        self.notify_owner |= self.counts.unjoined == 0; // also true if nothing is outstanding
    }
}
