//! What the board knows of one service.

use super::deadline::{TimeUp, Watched};
use super::{Registry, StopBy};
#[cfg(feature = "disconnect")]
use crate::diagnose::Connection;
use crate::diagnose::{ProcSnapshot, ThreadProbe, clause};
use crate::report::{BlockedThread, Outcome, Phase, ServiceError, ServiceReport, ServiceState, ServiceStatus};
use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::sync::{Arc, Caller, now};
use crate::util::text::{Escaped, callback_thread_name};
use crate::util::time::since;
use std::time::{Duration, Instant};

/// What a service's end means for its host.
#[derive(Clone, Copy, Default)]
pub(crate) struct Policy {
    pub(crate) ignores_failure: bool,
    pub(crate) completion_stops_host: bool,
}

pub(crate) struct ServiceRecord {
    pub(crate) name: Arc<str>,
    pub(crate) policy: Policy,
    pub(crate) state: ServiceState,
    pub(crate) since: Instant,
    pub(crate) phase: Phase,
    pub(crate) restarts: u32,
    /// Its next start is a restart.
    pub(crate) restarting: bool,
    /// What the service failed with, until a restart of it is ready.
    pub(crate) failed_before: Option<ServiceError>,
    /// A stop was requested, and the service was started once more to finish what it holds.
    pub(crate) finishing: bool,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<String>,
    /// The first final failure.
    pub(crate) failure: Option<ServiceError>,
    pub(crate) thread: Option<ThreadProbe>,
    /// When its thread was made; `None`: it was never started.
    pub(crate) launched: Option<Instant>,
    /// How long the first start took, once that has returned `Ok`.
    pub(crate) start_took: Option<Duration>,
    /// By when the first start must have returned.
    pub(crate) start_limit: Option<StartLimit>,
    /// The start of the host no longer waits for it.
    pub(crate) settled: bool,
    /// It missed its start timeout: what it says from now on comes too late.
    pub(crate) late: bool,
    pub(crate) asked: Option<Instant>,
    /// By when it should have ended.
    pub(crate) stop_deadline: Option<Instant>,
    /// Until when the stop waits for it: the same for everyone in the outermost host.
    pub(crate) stop_end: Option<Instant>,
    /// For the jobs of a queue.
    pub(super) until_deadline_source: Option<TimeUp>,
    /// For code that waits until the deadline.
    pub(super) watched: Watched,
    /// The stop went on without waiting for it any longer.
    pub(crate) stop_timed_out: bool,
    /// When its value was dropped and its thread had nothing more to do, and how that end is called.
    pub(crate) ended: Option<(Instant, ServiceState)>,
    /// Its thread has been joined, or has said that it ends when nobody was to join it: thread-local destructors have run too.
    pub(crate) joined: bool,
    /// Stopped once the service will not be started again.
    pub(crate) retired: Retired,
    /// The service has said in this life that another run would find nothing to do.
    pub(crate) complete: bool,
    /// Its thread has said that it ends: thread-local destructors have run.
    pub(crate) left: bool,
    /// The thread that runs its stop callbacks.
    pub(crate) callbacks: Option<CallbackThread>,
    /// The calls of its repeated stop callbacks that are under way.
    pub(super) repeated: Vec<(Caller, CallbackThread)>,
    /// Its threads that were disconnected from what they waited on.
    pub(crate) disconnected: Vec<BlockedThread>,
    /// It did not end in time, and has not yet.
    pub(crate) hung: Option<BlockedThread>,
    /// A group's own services.
    pub(crate) children: Option<Arc<Registry>>,
}

/// How long a first start may take.
#[derive(Clone, Copy)]
pub(crate) struct StartLimit {
    pub(crate) at: Instant,
    pub(crate) limit: Duration,
    /// It is the whole host's time that is up then: that a service may be ignored gives it none.
    pub(crate) of_host: bool,
}

/// Whether a service will be started again, as a token that others can wait for.
pub(crate) enum Retired {
    /// A service of the outermost host.
    Own(StopSource),
    /// A child of a group. A group that restarts makes new children, so a child's last life is the group's last life.
    WithGroup(StopToken),
}

impl Retired {
    pub(crate) fn token(&self) -> StopToken {
        match self {
            Retired::Own(source) => source.token(),
            Retired::WithGroup(token) => token.clone(),
        }
    }

    /// The service will not be started again. Of a child only its group can say that.
    #[must_use = "the callbacks run only when told to"]
    pub(crate) fn retire(&self) -> PendingCallbacks {
        match self {
            Retired::Own(source) => source.signal().unwrap_or_default(),
            Retired::WithGroup(_) => PendingCallbacks::default(),
        }
    }
}

pub(crate) struct CallbackThread {
    pub(crate) thread: Option<ThreadProbe>,
    pub(crate) since: Instant,
}

impl ServiceRecord {
    pub(crate) fn new(name: Arc<str>, retired: Retired) -> Self {
        ServiceRecord {
            name,
            policy: Policy::default(),
            state: ServiceState::Waiting,
            since: now(),
            phase: Phase::Start,
            restarts: 0,
            restarting: false,
            failed_before: None,
            finishing: false,
            errors: 0,
            last_error: None,
            failure: None,
            thread: None,
            launched: None,
            start_took: None,
            start_limit: None,
            settled: false,
            late: false,
            asked: None,
            stop_deadline: None,
            stop_end: None,
            until_deadline_source: None,
            watched: Watched::default(),
            stop_timed_out: false,
            ended: None,
            joined: false,
            retired,
            complete: false,
            left: false,
            callbacks: None,
            repeated: Vec::new(),
            disconnected: Vec::new(),
            hung: None,
            children: None,
        }
    }

    /// Moves to `state`, unless it has been asked to stop: then it is stopping until its end, or hung.
    pub(crate) fn enter(&mut self, state: ServiceState) {
        if self.hung.is_none() && self.asked.is_none() {
            self.put(state);
        }
    }

    /// Moves to `state`, whatever it is in.
    pub(crate) fn put(&mut self, state: ServiceState) {
        if self.state != state {
            self.state = state;
            self.since = now();
        }
    }

    /// Its thread has nothing more to do.
    pub(crate) fn end(&mut self, state: ServiceState) {
        self.ended = Some((now(), state));
        self.settle();
    }

    /// Shows how it ended: once nothing is left of it, if it was called hung before.
    pub(crate) fn settle(&mut self) {
        let Some((_, state)) = self.ended else { return };
        if self.hung.is_some() && !self.gone() {
            return;
        }
        self.hung = None;
        self.put(if self.failure.is_some() { ServiceState::Failed } else { state });
    }

    pub(crate) fn count_error(&mut self, text: String) {
        self.errors += 1;
        self.last_error = Some(text);
    }

    /// What a group in this slot has for its stop, once it is asked.
    pub(crate) fn stop_by(&self) -> Option<StopBy> {
        Some(StopBy { deadline: self.stop_deadline?, end: self.stop_end })
    }

    /// It was never started, or has nothing more to do.
    pub(crate) fn is_over(&self) -> bool {
        self.launched.is_none() || self.ended.is_some()
    }

    /// Nothing of it is left: no thread, no callback.
    pub(crate) fn gone(&self) -> bool {
        self.launched.is_none() || self.joined && self.callbacks.is_none()
    }

    /// What is left of it, and since when it has been asked to go. A callback comes first: its service may well be
    /// waiting for it, in dropping the guard.
    pub(crate) fn remains(&self) -> StuckService {
        let own = self.thread.clone().filter(|_| self.ended.is_none());
        self.callback().map_or_else(|| self.own(), |callback| StuckService { service_thread: own, ..callback })
    }

    /// Its own thread.
    pub(super) fn own(&self) -> StuckService {
        let phase = if self.ended.is_some() { Phase::Drop } else { self.phase };
        let since = self.asked.unwrap_or(self.since);
        StuckService { name: self.name.clone(), phase, thread: self.thread.clone(), service_thread: None, since }
    }

    /// The thread that runs its stop callbacks.
    pub(super) fn callback(&self) -> Option<StuckService> {
        let repeated = self.repeated.first().map(|(_, callback)| callback);
        let CallbackThread { thread, since } = self.callbacks.as_ref().or(repeated)?;
        let (phase, thread) = (Phase::Callback, thread.clone());
        Some(StuckService { name: self.name.clone(), phase, thread, service_thread: None, since: *since })
    }

    pub(super) fn status(&self) -> ServiceStatus {
        ServiceStatus {
            name: self.name.clone(),
            state: self.state,
            since: self.since,
            restarts: self.restarts,
            errors: self.errors,
            last_error: self.last_error.clone(),
            blocked_in: None,
            thread: self.remains().thread.filter(|_| !self.gone()),
        }
    }

    pub(super) fn report(&self, stop_began: Option<Instant>) -> ServiceReport {
        let outcome = match (&self.hung, &self.failure, self.launched) {
            (Some(hung), _, _) => Outcome::Hung(hung.clone()),
            (None, Some(error), _) => Outcome::Failed(error.clone()),
            (None, None, None) => Outcome::NeverStarted,
            (None, None, Some(_)) if self.ended.is_none() => Outcome::Running,
            (None, None, Some(_)) if self.state == ServiceState::Completed => Outcome::Completed,
            (None, None, Some(_)) => match &self.failed_before {
                Some(error) => Outcome::NotRestarted(error.clone()),
                None => Outcome::Stopped,
            },
        };
        let until = self.ended.filter(|_| self.hung.is_none()).map_or_else(now, |(at, _)| at);
        let since = |from: Instant, to: Instant| to.saturating_duration_since(from);
        ServiceReport {
            name: self.name.clone(),
            outcome,
            restarts: self.restarts,
            errors: self.errors,
            start_took: self.start_took.unwrap_or_default(),
            stop_took: self.asked.map_or(Duration::ZERO, |asked| since(asked, until)),
            stop_timed_out: self.stop_timed_out,
            disconnected: self.disconnected.clone(),
            asked_after: self.asked.zip(stop_began).map(|(asked, began)| since(began, asked)),
        }
    }
}

/// What is left of a service that should have ended.
pub(crate) struct StuckService {
    name: Arc<str>,
    pub(crate) phase: Phase,
    thread: Option<ThreadProbe>,
    /// Of a callback: the service's own thread, if that is alive too.
    service_thread: Option<ThreadProbe>,
    since: Instant,
}

impl StuckService {
    /// Looks at the thread. Reads files: not under a lock.
    pub(crate) fn inspect(&self, view: &ProcSnapshot) -> BlockedThread {
        let look = |thread: &Option<ThreadProbe>| thread.as_ref()?.blocked_in(view);
        let blocked_in = match (look(&self.thread), look(&self.service_thread)) {
            (Some(callback), Some(service)) => Some(format!("{callback}, its service {}", clause(&service))),
            (callback, service) => callback.or(service),
        };
        self.seen(blocked_in)
    }

    /// The sockets that its thread waits on, and how that looks. Reads files: not under a lock.
    #[cfg(feature = "disconnect")]
    pub(super) fn connection(&self) -> std::io::Result<Option<(Connection, BlockedThread)>> {
        let connection = self.thread.as_ref().map_or(Ok(None), |thread| thread.connection(ProcSnapshot::new()))?;
        Ok(connection.map(|(connection, blocked_in)| (connection, self.seen(Some(blocked_in)))))
    }

    /// The same with what a look found before, without another look.
    pub(crate) fn seen(&self, blocked_in: Option<String>) -> BlockedThread {
        let is_callback = self.phase == Phase::Callback;
        let name = if is_callback { callback_thread_name(&self.name) } else { Escaped(&self.name).to_string() };
        let thread = match &self.thread {
            Some(thread) => format!("{name} (tid {thread})"),
            None => name,
        };
        BlockedThread { phase: self.phase, waited: since(self.since), thread, blocked_in }
    }

    /// A few words for a line that names several.
    pub(crate) fn describe(&self, view: &ProcSnapshot) -> String {
        let BlockedThread { phase, blocked_in, .. } = self.inspect(view);
        let blocked = blocked_in.map(|call| format!(", {}", clause(&call))).unwrap_or_default();
        format!("`{}` (in its {phase}{blocked})", Escaped(&self.name))
    }
}
