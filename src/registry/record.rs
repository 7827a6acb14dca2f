//! `ServiceRecord`: the state of one service.
//!
//! ```text
//! NotStarted ──▶ Starting ──▶ Running ──▶ CleaningUp ──▶ Dropping ──▶ Exited ──▶ Joined
//!                  ▲  │ └───────────────────────────────────▲
//!                  │  ▼                       │
//!                BackingOff ◀─────────────────┘           (a stop request ends BackingOff: ──▶ Dropping)
//! ```
//!
//! # Invariants
//!
//! 1. A record moves only along the arrows. A service that misses its start timeout goes from `Starting` to `CleaningUp`.
//!    If no thread can be created, `Starting` goes back to `NotStarted`.
//! 2. `Starting` follows `BackingOff` only if no stop was requested, or if the service finishes what it holds.
//! 3. `Exited` means that the value of the service is dropped and its thread runs no more code of the service. `Joined`
//!    means that the thread-local destructors have run too.
//! 4. The state that a user sees is not stored. It follows from the progress, the stop request, the failure, and whether
//!    the service is hung: [`ServiceRecord::state`].
//! 5. A service is hung from the moment at which the shutdown gives up on it until nothing of it is left.

use super::StopBy;
use super::health::HealthRecord;
#[cfg(feature = "metrics")]
use super::metered::Metered;
use super::progress::{
    CallbackThread, Counters, Exit, ExitKind, MemberRecord, Progress, StartProgress, StopProgress, Threads,
};
use super::stuck::StuckService;
use crate::registry::Registry;
use crate::report::{
    BlockedThread, Outcome, Phase, ServiceError, ServiceReport, ServiceState, ServiceStatus, drop_error,
};
use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::sync::{Arc, now};
use std::time::{Duration, Instant};

/// What the end of a service means for its host.
#[derive(Clone, Copy, Default)]
pub(crate) struct Policy {
    pub(crate) ignores_failure: bool,
    pub(crate) completion_stops_host: bool,
}

pub(super) struct ServiceRecord {
    pub(super) name: Arc<str>,
    pub(super) policy: Policy,
    progress: Progress,
    /// When the public state last changed.
    since: Instant,
    pub(super) start: StartProgress,
    pub(super) stop: StopProgress,
    /// The first final failure.
    pub(super) failure: Option<ServiceError>,
    /// What the service failed with, until a restart of it is ready.
    pub(super) failed_before: Option<ServiceError>,
    pub(super) counters: Counters,
    pub(super) health: HealthRecord,
    pub(super) threads: Threads,
    /// What the metrics of the service say.
    #[cfg(feature = "metrics")]
    pub(super) metered: Metered,
    /// Stopped once the service will not be started again.
    pub(super) retired: Retired,
    /// The service has marked itself as complete in this run: another run would find nothing to do.
    pub(super) complete: bool,
    /// The current run began after a stop request: it finishes the work that the service has accepted.
    pub(super) finishing: bool,
    /// The service did not stop in time, and has not stopped yet.
    hung: Option<BlockedThread>,
    /// The services of a group.
    pub(super) children: Option<Arc<Registry>>,
    /// If the service is a member of a dynamic group.
    pub(super) member: Option<MemberRecord>,
}

/// Whether a service will be started again, as a token that others can wait for.
pub(crate) enum Retired {
    /// A service of the outermost host.
    Own(StopSource),
    /// A child of a group. A group that restarts creates new children, so the last run of a child is the last run of the group.
    WithGroup(StopToken),
}

impl Retired {
    pub(crate) fn token(&self) -> StopToken {
        match self {
            Retired::Own(source) => source.token(),
            Retired::WithGroup(token) => token.clone(),
        }
    }

    /// Records that the service will not be started again. For a child, only its group can decide that.
    #[must_use = "the caller must run the callbacks"]
    pub(super) fn retire(&self) -> PendingCallbacks {
        match self {
            Retired::Own(source) => source.signal().unwrap_or_default(),
            Retired::WithGroup(_) => PendingCallbacks::default(),
        }
    }
}

impl ServiceRecord {
    pub(super) fn new(name: Arc<str>, retired: Retired) -> Self {
        ServiceRecord {
            name,
            policy: Policy::default(),
            progress: Progress::NotStarted,
            since: now(),
            start: StartProgress::default(),
            stop: StopProgress::default(),
            failure: None,
            failed_before: None,
            counters: Counters::default(),
            health: HealthRecord::default(),
            threads: Threads::default(),
            #[cfg(feature = "metrics")]
            metered: Metered::default(),
            retired,
            complete: false,
            finishing: false,
            hung: None,
            children: None,
            member: None,
        }
    }

    /// The state that a user sees (invariant 4).
    pub(super) fn state(&self) -> ServiceState {
        if self.hung.is_some() {
            return ServiceState::Hung;
        }
        match self.progress {
            Progress::NotStarted => ServiceState::Waiting,
            Progress::Exited(_) | Progress::Joined(_) if self.failure.is_some() => ServiceState::Failed,
            Progress::Exited(exit) | Progress::Joined(exit) => match exit.kind {
                ExitKind::Completed => ServiceState::Completed,
                ExitKind::Stopped => ServiceState::Stopped,
                ExitKind::NotRestarted => ServiceState::NotRestarted,
            },
            _ if self.stop.requested.is_some() => ServiceState::Stopping,
            Progress::Starting => ServiceState::Starting,
            Progress::Running => ServiceState::Running,
            Progress::BackingOff | Progress::CleaningUp { restarts: true } => ServiceState::Restarting,
            Progress::CleaningUp { restarts: false } | Progress::Dropping => ServiceState::Stopping,
        }
    }

    /// Returns what the service's own thread is doing.
    pub(super) fn phase(&self) -> Phase {
        match self.progress {
            Progress::NotStarted | Progress::Starting => Phase::Start,
            Progress::Running | Progress::BackingOff => Phase::Run,
            Progress::CleaningUp { .. } => Phase::Stop,
            Progress::Dropping | Progress::Exited(_) | Progress::Joined(_) => Phase::Drop,
        }
    }

    /// Changes the record, and notes the time if that changed the public state.
    pub(super) fn change<R>(&mut self, change: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.state();
        let result = change(self);
        if self.state() != before {
            self.since = now();
        }
        result
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress
    }

    /// Moves along an arrow of the diagram.
    pub(super) fn advance(&mut self, to: Progress) {
        if to != Progress::Running {
            self.health.end_stall(); // only a `run` can stall
        }
        self.change(|record| record.progress = to);
    }

    pub(super) fn exit(&self) -> Option<Exit> {
        match self.progress {
            Progress::Exited(exit) | Progress::Joined(exit) => Some(exit),
            _ => None,
        }
    }

    pub(super) fn was_started(&self) -> bool {
        self.progress != Progress::NotStarted
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exit().is_some()
    }

    pub(super) fn is_joined(&self) -> bool {
        matches!(self.progress, Progress::Joined(_))
    }

    /// Returns `true` if the service will be started again, unless a stop request comes first.
    pub(super) fn will_restart(&self) -> bool {
        matches!(self.progress, Progress::BackingOff | Progress::CleaningUp { restarts: true })
    }

    /// Returns `true` if the start of the host waits for the service.
    pub(super) fn is_starting_first(&self) -> bool {
        self.was_started() && !self.start.resolved
    }

    /// Drops the errors. Their `Drop` is user code, so the caller must not hold the lock of a registry that is in use.
    pub(super) fn drop_errors(&mut self) {
        [self.failure.take(), self.failed_before.take()].into_iter().flatten().for_each(drop_error);
    }

    /// Returns `true` if the service was never started, or has exited.
    pub(super) fn is_over(&self) -> bool {
        !self.was_started() || self.has_exited()
    }

    /// Returns `true` if nothing of the service is left: no thread, no callback.
    pub(super) fn is_finished(&self) -> bool {
        !self.was_started() || self.is_joined() && self.threads.callbacks.is_none()
    }

    pub(super) fn hung(&self) -> Option<&BlockedThread> {
        self.hung.as_ref()
    }

    /// Records that the shutdown has given up on the service. Returns `true` if that is news.
    pub(super) fn mark_hung(&mut self, blocked: BlockedThread) -> bool {
        self.change(|record| record.hung.replace(blocked).is_none())
    }

    /// Shows the true end of a service that was hung, once nothing of it is left (invariant 5).
    pub(super) fn forget_hung_if_finished(&mut self) {
        if self.is_finished() {
            self.change(|record| record.hung = None);
        }
    }

    pub(super) fn count_error(&mut self, text: String) {
        self.counters.errors += 1;
        self.counters.last_error = Some(text);
    }

    /// Returns the time that a group in this record has for its stop. Returns `None` before the stop request.
    pub(super) fn stop_by(&self) -> Option<StopBy> {
        Some(StopBy { deadline: self.stop.deadline?, end: self.stop.end })
    }

    /// Returns what is left of the service. A callback comes first, because the service may wait for it in the drop of
    /// the guard.
    pub(super) fn stuck(&self) -> StuckService {
        let own = self.threads.own.clone().filter(|_| !self.has_exited());
        match self.stuck_callback() {
            Some(callback) => callback.with_service_thread(own),
            None => self.stuck_thread(),
        }
    }

    /// Returns the service's own thread.
    pub(super) fn stuck_thread(&self) -> StuckService {
        let since = self.stop.requested.unwrap_or(self.since);
        StuckService::new(self.name.clone(), self.phase(), self.threads.own.clone(), since)
    }

    /// Returns the thread that runs the stop callbacks of the service.
    pub(super) fn stuck_callback(&self) -> Option<StuckService> {
        let repeating = self.threads.repeating.first().map(|(_, callback)| callback);
        let CallbackThread { thread, since } = self.threads.callbacks.as_ref().or(repeating)?;
        Some(StuckService::new(self.name.clone(), Phase::Callback, thread.clone(), *since))
    }

    /// Returns what a user sees of the service. `ignores_failure` also counts the groups around it.
    pub(super) fn status(&self, ignores_failure: bool) -> ServiceStatus {
        ServiceStatus {
            name: self.name.clone(),
            state: self.state(),
            since: self.since,
            restarts: self.counters.restarts,
            errors: self.counters.errors,
            ticks_missed: self.counters.ticks_missed,
            last_error: self.counters.last_error.clone(),
            health: self.health.get(),
            ignores_failure,
            blocked_in: None,
            members: None,
            thread: self.stuck().into_thread().filter(|_| !self.is_finished()),
        }
    }

    pub(super) fn report(&self, stop_began: Option<Instant>) -> ServiceReport {
        let until = self.exit().filter(|_| self.hung.is_none()).map_or_else(now, |exit| exit.at);
        let since = |from: Instant, to: Instant| to.saturating_duration_since(from);
        let requested = self.stop.requested;
        ServiceReport {
            name: self.name.clone(),
            outcome: self.outcome(),
            restarts: self.counters.restarts,
            errors: self.counters.errors,
            start_took: self.start.took.unwrap_or_default(),
            stop_took: requested.map_or(Duration::ZERO, |requested| since(requested, until)),
            stop_timed_out: self.stop.timed_out,
            disconnected: self.threads.disconnected.clone(),
            members: None,
            group_prefix: self.member.as_ref().map(|member| self.name.len() - member.name.len() - 1),
            requested_after: requested.zip(stop_began).map(|(requested, began)| since(began, requested)),
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match (&self.hung, &self.failure, self.exit().map(|exit| exit.kind)) {
            (Some(blocked), _, _) => Outcome::Hung(blocked.clone()),
            (None, Some(error), _) => Outcome::Failed(error.clone()),
            (None, None, None) if !self.was_started() => Outcome::NeverStarted,
            (None, None, None) => Outcome::Running,
            (None, None, Some(ExitKind::Completed)) => Outcome::Completed,
            (None, None, Some(ExitKind::Stopped)) => Outcome::Stopped,
            (None, None, Some(ExitKind::NotRestarted)) => match &self.failed_before {
                Some(error) => Outcome::NotRestarted(error.clone()),
                None => Outcome::Stopped, // cannot happen: a service that waits for a restart keeps its error
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(progress: Progress) -> ServiceRecord {
        let mut record = ServiceRecord::new("a".into(), Retired::Own(StopSource::new()));
        record.advance(progress);
        record
    }

    #[test]
    fn the_public_state_follows_from_progress_stop_request_and_failure() {
        let exited = |kind| Progress::Exited(Exit { at: now(), kind });
        let table = [
            (Progress::NotStarted, ServiceState::Waiting, ServiceState::Waiting, ServiceState::Waiting),
            (Progress::Starting, ServiceState::Starting, ServiceState::Stopping, ServiceState::Starting),
            (Progress::Running, ServiceState::Running, ServiceState::Stopping, ServiceState::Running),
            (
                Progress::CleaningUp { restarts: true },
                ServiceState::Restarting,
                ServiceState::Stopping,
                ServiceState::Restarting,
            ),
            (
                Progress::CleaningUp { restarts: false },
                ServiceState::Stopping,
                ServiceState::Stopping,
                ServiceState::Stopping,
            ),
            (Progress::BackingOff, ServiceState::Restarting, ServiceState::Stopping, ServiceState::Restarting),
            (Progress::Dropping, ServiceState::Stopping, ServiceState::Stopping, ServiceState::Stopping),
            (exited(ExitKind::Completed), ServiceState::Completed, ServiceState::Completed, ServiceState::Failed),
            (exited(ExitKind::Stopped), ServiceState::Stopped, ServiceState::Stopped, ServiceState::Failed),
            (
                exited(ExitKind::NotRestarted),
                ServiceState::NotRestarted,
                ServiceState::NotRestarted,
                ServiceState::Failed,
            ),
        ];
        let failure = ServiceError::new("a".into(), Phase::Run, crate::report::Cause::Failed("broken".into()));
        for (progress, undisturbed, stop_requested, failed) in table {
            assert_eq!(record(progress).state(), undisturbed, "{progress:?}");
            let mut with_request = record(progress);
            with_request.stop.requested = Some(now());
            assert_eq!(with_request.state(), stop_requested, "{progress:?} and a stop request");
            let mut with_failure = record(progress);
            with_failure.failure = Some(failure.clone());
            assert_eq!(with_failure.state(), failed, "{progress:?} and a failure");
        }
    }

    #[test]
    fn a_hung_service_shows_its_true_end_once_nothing_of_it_is_left() {
        let mut record = record(Progress::Running);
        let blocked = record.stuck().blocked(None);
        assert!(record.mark_hung(blocked.clone()) && !record.mark_hung(blocked), "it is news once");
        assert_eq!(record.state(), ServiceState::Hung);
        let exit = Exit { at: now(), kind: ExitKind::Stopped };
        record.advance(Progress::Exited(exit));
        record.forget_hung_if_finished();
        assert_eq!(record.state(), ServiceState::Hung, "its thread is not joined");
        record.advance(Progress::Joined(exit));
        record.forget_hung_if_finished();
        assert_eq!(record.state(), ServiceState::Stopped);
    }
}
