//! The board: who is in which state. The one truth of a host, under one lock, with one condvar.
//!
//! Services' threads write what becomes of them, the owner of the host waits for what concerns it, and anybody may
//! look. Log lines leave after the lock is let go; events are handed out under it (that waits for nobody and calls
//! nothing foreign), so that their order is the order of what happened. Locks nest downwards only: a host's board,
//! then those of the groups in it, then the bus of events and the nodes of stop tokens.

mod event_bus;
mod deadline;
mod record;
mod transitions;
mod snapshot;
mod handle;
mod callbacks;
#[cfg(feature = "disconnect")]
mod disconnect;

#[cfg(all(feature = "io", target_os = "linux"))]
pub(crate) use deadline::DeadlineWatch;
pub use handle::HostHandle;
pub(crate) use record::{CallbackThread, Policy, Retired, ServiceRecord, StartLimit, StuckService};

use crate::diagnose::{Waits, waiting};
use crate::registry::event_bus::EventBus;
use crate::report::{Event, EventKind, HostState, ServiceError, ServiceState, StopReason};
use crate::stop::{PendingCallbacks, StopSource};
use crate::util::sync::{Arc, Condvar, Mutex, now, wait};
use crate::util::time::since;
use std::collections::BTreeSet;
use std::time::Instant;

pub(crate) struct Registry {
    inner: Mutex<Inner>,
    /// Something has happened that the owner waits for: news, or a reason to stop.
    changed: Condvar,
    /// Stopped when the host is asked to stop.
    pub(crate) stopping: StopSource,
    /// "Stopped" when the whole host has started: a latch.
    started: StopSource,
    /// One for a host and all the groups in it.
    pub(crate) bus: Arc<EventBus>,
    /// Held while a group gets another registry. One for a host and all the groups in it; locked before any registry.
    tree: Arc<Mutex<()>>,
}

/// What a group is given when it is asked to stop, and passes on to the groups in it as it is: however deep they are nested,
/// the margin between the two is taken once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StopBy {
    /// By when it, and everything in it, should have ended.
    pub(crate) deadline: Instant,
    /// Until when the outermost host waits. `None`: as long as it takes.
    pub(crate) end: Option<Instant>,
}

pub(crate) struct Inner {
    /// The group that this host is the inside of.
    group: Option<Arc<str>>,
    pub(crate) host: HostState,
    pub(crate) reason: Option<StopReason>,
    pub(crate) slots: Vec<ServiceRecord>,
    /// The places of the groups that have a registry of their own.
    groups: BTreeSet<usize>,
    /// The final failures that are not ignored, the first one first.
    pub(crate) failures: Vec<ServiceError>,
    /// Services that settled since the owner last looked: what a start waits for.
    pub(crate) settled: Vec<usize>,
    /// Services that ended since the owner last looked: what a stop waits for.
    pub(crate) ended: Vec<usize>,
    /// Every service has become ready, before anything stopped the host.
    pub(crate) has_started: bool,
    /// When the start began.
    pub(crate) start_began: Instant,
    /// How many services the start still waits for.
    unsettled: usize,
    /// How many services of this run have not ended.
    pub(crate) living: usize,
    /// How many threads are not joined, and callback threads not done.
    pub(crate) outstanding: usize,
    /// How many of those threads have nothing more to do but to be joined.
    pub(crate) unjoined: usize,
    /// How many threads the reapers have joined. Of those that end after a stop nobody joins any.
    pub(crate) joined: usize,
    /// What a stop under way has, whatever it was given: a group's, when its host stops.
    pub(crate) stop_by: Option<StopBy>,
    pub(crate) stop_began: Option<Instant>,
    pub(crate) stop_ended: Option<Instant>,
    stopping: StopSource,
    started: StopSource,
    bus: Arc<EventBus>,
    /// Said, and to be logged once the lock is let go.
    said: Vec<Event>,
    ring: bool,
}

impl Registry {
    /// A board; of a group in `host`, if there is one: it shares that one's events and its start.
    pub(crate) fn new(host: Option<(&Registry, Arc<str>)>) -> Arc<Self> {
        let stopping = StopSource::new();
        let (bus, started, tree) = match &host {
            Some((host, _)) => (host.bus.clone(), host.started.clone(), host.tree.clone()),
            None => Default::default(),
        };
        let inner = Inner {
            group: host.map(|(_, group)| group),
            host: HostState::New,
            reason: None,
            slots: Vec::new(),
            groups: BTreeSet::new(),
            failures: Vec::new(),
            settled: Vec::new(),
            ended: Vec::new(),
            has_started: false,
            start_began: now(),
            unsettled: 0,
            living: 0,
            outstanding: 0,
            unjoined: 0,
            joined: 0,
            stop_by: None,
            stop_began: None,
            stop_ended: None,
            stopping: stopping.clone(),
            started: started.clone(),
            bus: bus.clone(),
            said: Vec::new(),
            ring: false,
        };
        let (inner, changed) = (Mutex::new(inner), Condvar::new());
        Arc::new(Registry { inner, changed, stopping, started, bus, tree })
    }

    /// Changes something; then, with the lock let go, logs what was said and wakes who waits for it.
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.inner.lock();
        let result = change(&mut inner);
        let said = std::mem::take(&mut inner.said);
        let ring = std::mem::take(&mut inner.ring);
        drop(inner);
        for event in said {
            event.log();
        }
        if ring {
            self.changed.notify_all();
        }
        result
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Inner) -> R) -> R {
        look(&self.inner.lock())
    }

    /// Waits until `look` finds something. `None`: not before `until`.
    pub(crate) fn wait_for<R>(
        &self,
        until: Option<Instant>,
        mut look: impl FnMut(&mut Inner) -> Option<R>,
    ) -> Option<R> {
        // A service's thread comes here only if the service is a group.
        let _waiting = waiting(Waits::Services, None);
        let mut inner = self.inner.lock();
        loop {
            let found = look(&mut inner);
            if found.is_some() || !wait(&self.changed, &mut inner, until) {
                // One more look: what came with the last moment counts.
                return found.or_else(|| look(&mut inner));
            }
        }
    }

    /// Says something about a service, or about the host.
    pub(crate) fn say(&self, service: Option<Arc<str>>, kind: EventKind) {
        self.update(|inner| inner.say(service, kind));
    }

    /// Asks the host to stop; the callbacks of `stopping` are the caller's to run.
    pub(crate) fn request_stop(&self, reason: StopReason) -> PendingCallbacks {
        self.update(|inner| inner.stop_for(reason))
    }

    /// A stop of this host has no more time than `by`, whatever it was given.
    pub(crate) fn stop_by(&self, by: Option<StopBy>) {
        self.update(|inner| {
            inner.stop_by = by;
            inner.ring = true;
        });
    }
}

impl Inner {
    pub(crate) fn say(&mut self, service: Option<Arc<str>>, kind: EventKind) {
        let level = kind.level(self.group.is_some());
        // Whether the logger could want it, without asking the logger: that is foreign code.
        let loud = level <= log::max_level();
        if !loud && !self.bus.has_listeners() {
            return;
        }
        let event = Event::now(service.or_else(|| self.group.clone()), kind, level);
        self.bus.tell(&event);
        if loud {
            self.said.push(event);
        }
    }

    /// The host is to stop, if it is not already: the first cause wins. `stopping` is stopped in the same breath.
    pub(crate) fn stop_for(&mut self, reason: StopReason) -> PendingCallbacks {
        if self.reason.is_some() {
            return PendingCallbacks::default();
        }
        self.reason = Some(reason);
        if matches!(self.host, HostState::Starting | HostState::Started) {
            self.host = HostState::Stopping;
        }
        self.ring = true;
        self.stopping.signal().unwrap_or_default()
    }

    /// The start begins. With no service at all it is over.
    pub(crate) fn begin_start(&mut self, services: usize) -> PendingCallbacks {
        self.host = HostState::Starting;
        self.start_began = now();
        (self.living, self.unsettled) = (services, services);
        self.say(None, EventKind::HostStarting { services });
        self.settle_start()
    }

    /// The start waits no longer for this service: it is ready, or has failed and is ignored.
    pub(crate) fn settle(&mut self, index: usize) -> PendingCallbacks {
        if std::mem::replace(&mut self.slots[index].settled, true) {
            return PendingCallbacks::default();
        }
        self.unsettled -= 1;
        self.settled.push(index);
        self.ring = true;
        self.settle_start()
    }

    /// The host has started when the last of its services has, and nothing had stopped it before: what happens from
    /// then on, in whatever order the owner sees it, is no failure of the start.
    fn settle_start(&mut self) -> PendingCallbacks {
        if self.unsettled > 0 || self.host != HostState::Starting {
            return PendingCallbacks::default();
        }
        self.host = HostState::Started;
        self.has_started = true;
        self.say(None, EventKind::HostStarted { took: since(self.start_began) });
        // A latch without callbacks. A group is only a part of a host that is starting.
        if self.group.is_none() {
            _ = self.started.signal();
        }
        self.check_all_completed()
    }

    /// One thing less that a stop has to wait for. The owner is woken by the last, not by each of thousands.
    pub(crate) fn one_less(&mut self) {
        self.outstanding -= 1;
        self.ring |= self.unjoined == 0; // as it also is where nothing is outstanding
    }

    /// With the last service ends the host, once it has started.
    pub(crate) fn check_all_completed(&mut self) -> PendingCallbacks {
        let over = self.living == 0 && self.host == HostState::Started;
        if over { self.stop_for(StopReason::AllCompleted) } else { PendingCallbacks::default() }
    }

    /// How many services' threads are left behind.
    pub(crate) fn hung(&self) -> usize {
        self.slots.iter().filter(|slot| slot.state == ServiceState::Hung).count()
    }
}
