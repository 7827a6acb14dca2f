//! The drain of a host: the time from a stop request until the host requests the stop of its services.
//!
//! ```text
//!            a request or a signal, after the start            the time is up, another reason to stop,
//!                                                              or no service is left
//! Running ───────────────────────────────────────▶ Draining ─────────────────────────────────────────▶ Stopping
//!    │                                                                                                  ▲
//!    └──────────────────────────────────────────────────────────────────────────────────────────────────┘
//!            a failure, or a completion
//! ```
//!
//! The drain has no state of its own: a host is stopping for everybody from its first reason to stop on. Only the owner waits.

use super::{Registry, RegistryState};
use crate::report::{EventKind, StopReason};
use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::time::deadline;
use std::time::{Duration, Instant};

/// The drain that a host was given.
pub(super) struct Drain {
    time: Duration,
    /// When the stop was requested, by the clock of the host. `None` if something else stops the host.
    requested: Option<Instant>,
    /// Stopped when the drain must not take longer.
    over: StopSource,
}

/// How long the owner of a host has to wait before the shutdown.
pub(crate) struct DrainWait {
    /// By the clock of the host. `None` if that is later than an `Instant` can represent.
    pub(crate) until: Option<Instant>,
    /// Stops when the drain must not take longer.
    pub(crate) over: StopToken,
}

impl Registry {
    pub(crate) fn set_drain(&self, time: Duration) {
        let drain = (!time.is_zero()).then(|| Drain { time, requested: None, over: StopSource::new() });
        self.update(|state| state.drain = drain);
    }

    pub(crate) fn has_drain(&self) -> bool {
        self.read(|state| state.drain.is_some())
    }

    /// Requests the stop of the host, unless that has happened. Returns `None` if the shutdown, which may take `timeout`, must
    /// begin at once.
    #[must_use = "the caller must run the callbacks of `stopping`"]
    pub(crate) fn begin_drain(&self, timeout: Duration) -> (PendingCallbacks, Option<DrainWait>) {
        let now = self.clock.now(); // before the lock, because the clock has its own
        self.update(|state| {
            if !state.has_started || state.stop_began.is_some() || state.drain.is_none() {
                return (PendingCallbacks::default(), None);
            }
            let is_first = state.reason.is_none();
            let callbacks =
                if is_first { state.request_stop_at(StopReason::Requested, now) } else { Default::default() };
            (callbacks, state.drain_wait(now, timeout))
        })
    }
}

impl RegistryState {
    /// A stop is requested at `now`, by the clock of the host. Another request ends the drain.
    pub(super) fn request_stop_at(&mut self, reason: StopReason, now: Instant) -> PendingCallbacks {
        if let Some(drain) = self.drain.as_mut().filter(|_| self.reason.is_none()) {
            drain.requested = Some(now);
        }
        self.request_stop(reason)
    }

    /// There is another reason to stop, or nothing left to drain.
    pub(super) fn end_drain(&self) {
        // The token has no callbacks: only the owner waits for it.
        _ = self.drain.as_ref().map(|drain| drain.over.signal());
    }

    fn drain_wait(&mut self, now: Instant, timeout: Duration) -> Option<DrainWait> {
        let drain = self.drain.as_ref()?;
        let (requested, over) = (drain.requested?, drain.over.token());
        let until = requested.checked_add(drain.time);
        let time = until.map_or(Duration::MAX, |until| until.saturating_duration_since(now));
        if time.is_zero() || over.stop_requested() {
            return None;
        }
        self.stop_end = deadline(time.saturating_add(timeout));
        let reason = self.reason.clone().unwrap_or(StopReason::Requested);
        self.emit(None, EventKind::Draining { time, reason });
        Some(DrainWait { until, over })
    }
}
