//! The monitor of a host: a thread that finds services without a sign of life.
//!
//! One monitor serves a host and all groups in it. Its thread exists only if a service asked for it:
//!
//! ```text
//!         the first service with `stalls_after`             the shutdown has ended
//! Unused ──────────────────────────────────────▶ Watching ────────────────────────▶ Ended
//! ```
//!
//! A sign of life has no time, because a clock costs ten times as much as a sign. So the monitor looks at the signs four times
//! in each limit, and remembers when they last changed. Between two looks with the same signs there was no sign of life. So
//! a service is reported after its limit, and at most a quarter of the limit later.
//!
//! # Invariants
//!
//! 1. Only the thread of the monitor finds that a service is stalled, and that it has recovered. The registry decides, under
//!    its lock, whether this still counts.
//! 2. No wake-up is lost: the thread creates the alarm that ends its next sleep before it looks at the services.
//! 3. No lock is held while a thread is inspected and while an event is logged.
//! 4. Time in which the monitor itself could not run counts against no service.

use super::{Registry, ServiceId};
use crate::clock::Clock;
use crate::diagnose::{Pulse, Signs};
use crate::stop::{StopSource, StopToken};
use crate::util::log::log_line;
use crate::util::panic::catch_panic;
use crate::util::sync::thread::{Builder, JoinHandle};
use crate::util::sync::{Arc, Condvar, Mutex, Weak, now, wait};
use log::Level;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

/// How often the monitor looks at a service within its limit.
const LOOKS_PER_LIMIT: u32 = 4;

/// The shortest time between two looks.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

/// A service that is watched for stalls.
pub(crate) struct Watch {
    number: u64,
    registry: Weak<Registry>,
    id: ServiceId,
    limit: Duration,
    pub(crate) pulse: Arc<Pulse>,
    seen: Mutex<Seen>,
}

/// The latest change of the signs of life that the monitor saw.
#[derive(Clone, Copy)]
struct Seen {
    signs: Signs,
    /// By the clock of the host.
    at: Instant,
    /// By the system clock, for a person.
    since: Instant,
}

/// What the monitor finds at one look.
enum Finding {
    /// There was no sign of life since `seen`, for `waited` by the clock of the host.
    Stalled(Arc<Watch>, Seen, Duration),
    Recovered(Arc<Watch>),
}

impl Watch {
    /// The service is about to call `run`, at `now` by the clock of the host.
    pub(crate) fn begin_run(&self, now: Instant) {
        self.pulse.end_rest();
        let mut seen = self.seen.lock();
        *seen = Seen::new(&self.pulse, now);
        // A stall of the last run has ended with that run. The monitor may not have looked since then.
        self.pulse.end_stall();
    }

    /// `run` has returned.
    pub(crate) fn end_run(&self) {
        self.pulse.begin_rest();
    }

    fn pause(&self) -> Duration {
        (self.limit / LOOKS_PER_LIMIT).max(SHORTEST_PAUSE)
    }

    /// Looks at the signs of life, at `now` by the clock of the host.
    fn look(self: &Arc<Self>, now: Instant, overslept: Duration) -> Option<Finding> {
        let mut seen = self.seen.lock();
        let signs = self.pulse.signs();
        if signs != seen.signs || signs.is_at_rest() {
            *seen = Seen { signs, ..Seen::new(&self.pulse, now) };
            return self.pulse.is_stalled().then(|| Finding::Recovered(self.clone()));
        }
        (seen.at, seen.since) = (seen.at + overslept, seen.since + overslept); // invariant 4
        let waited = now.saturating_duration_since(seen.at);
        let is_news = waited >= self.limit && !self.pulse.is_stalled();
        is_news.then(|| Finding::Stalled(self.clone(), *seen, waited))
    }

    /// Returns `None` or `false` if the service is not stalled: it does not run, or has shown a sign of life meanwhile.
    fn mark_stalled(&self, seen: Seen, waited: Duration) -> Option<bool> {
        let registry = self.registry.upgrade()?;
        let thread = registry.stuck_in_run(self.id, waited)?;
        Some(registry.mark_stalled(self.id, seen.since, thread, || self.pulse.signs() == seen.signs))
    }

    /// When to look again: in a moment, or when the service becomes late, if that is sooner.
    fn next_look(&self, looked: Instant) -> Option<Instant> {
        let late = self.seen.lock().at.checked_add(self.limit).filter(|at| *at > looked);
        looked.checked_add(self.pause()).into_iter().chain(late).min()
    }
}

impl Seen {
    fn new(pulse: &Pulse, at: Instant) -> Self {
        Seen { signs: pulse.signs(), at, since: now() }
    }
}

impl Finding {
    fn report(self) {
        match self {
            Finding::Stalled(watch, seen, waited) => {
                watch.pulse.begin_stall();
                if !watch.mark_stalled(seen, waited).unwrap_or(false) {
                    watch.pulse.end_stall();
                }
            }
            Finding::Recovered(watch) => {
                watch.pulse.end_stall();
                watch.registry.upgrade().iter().for_each(|registry| registry.mark_recovered(watch.id));
            }
        }
    }
}

#[derive(Default)]
pub(super) struct StallMonitor {
    state: Mutex<MonitorState>,
    /// Notified when the thread has nothing left to do.
    exited: Condvar,
}

#[derive(Default)]
struct MonitorState {
    watches: BTreeMap<u64, Arc<Watch>>,
    next_number: u64,
    thread: MonitorThread,
    /// Ends the present sleep of the thread.
    alarm: StopSource,
}

#[derive(Default)]
enum MonitorThread {
    #[default]
    Unused,
    Watching(JoinHandle<()>),
    /// The thread ends, or has ended.
    Ended {
        thread: Option<JoinHandle<()>>,
        has_exited: bool,
    },
}

impl StallMonitor {
    /// Watches a service from now on. The first service creates the thread of the monitor.
    fn watch(
        self: &Arc<Self>,
        of: (&Arc<Registry>, ServiceId),
        limit: Duration,
        clock: &Clock,
    ) -> io::Result<Arc<Watch>> {
        let monitor = Arc::downgrade(self);
        let wake = move || _ = monitor.upgrade().inspect(|monitor| monitor.wake());
        let (pulse, at) = (Arc::new(Pulse::new(wake)), clock.now());
        let mut state = self.state.lock();
        if matches!(state.thread, MonitorThread::Unused) {
            let (monitor, clock) = (self.clone(), clock.clone());
            let thread = Builder::new().name("hosted-monitor".to_owned()).spawn(move || monitor.run(&clock))?;
            state.thread = MonitorThread::Watching(thread);
        }
        let (number, seen) = (state.next_number, Mutex::new(Seen::new(&pulse, at)));
        let (registry, id) = (Arc::downgrade(of.0), of.1);
        let watch = Arc::new(Watch { number, registry, id, limit, pulse, seen });
        state.watches.insert(number, watch.clone());
        state.next_number += 1;
        drop(state);
        self.wake(); // its sleep does not know the new service
        Ok(watch)
    }

    /// The service runs no more.
    pub(super) fn forget(&self, watch: &Watch) {
        let watch = self.state.lock().watches.remove(&watch.number);
        drop(watch); // after the lock was released, because it may own the last reference to the pulse
    }

    /// Makes the thread look at the services at once.
    fn wake(&self) {
        let alarm = self.state.lock().alarm.clone();
        alarm.request_stop();
    }

    fn run(&self, clock: &Clock) {
        let mut overslept = Duration::ZERO;
        while let Some(alarm) = self.next_alarm() {
            let (findings, next) = self.look(clock.now(), overslept);
            for finding in findings {
                // The last reference to the registry of a group drops errors of its services, which is user code.
                if let Err(text) = catch_panic(|| finding.report()) {
                    log_line(Level::Error, "hosted::service", format_args!("panic while dropping an error: {text}"));
                }
            }
            overslept = sleep(clock, next, &alarm);
        }
        self.record_exit();
    }

    /// Returns the token that ends the next sleep (invariant 2), or `None` if the monitor has ended.
    fn next_alarm(&self) -> Option<StopToken> {
        let mut state = self.state.lock();
        state.alarm = StopSource::new();
        (!matches!(state.thread, MonitorThread::Ended { .. })).then(|| state.alarm.token())
    }

    /// Looks at every service. Returns the findings, and when to look again.
    fn look(&self, now: Instant, overslept: Duration) -> (Vec<Finding>, Option<Instant>) {
        let state = self.state.lock();
        let findings = state.watches.values().filter_map(|watch| watch.look(now, overslept)).collect();
        (findings, state.watches.values().filter_map(|watch| watch.next_look(now)).min())
    }

    fn record_exit(&self) {
        if let MonitorThread::Ended { has_exited, .. } = &mut self.state.lock().thread {
            *has_exited = true;
        }
        self.exited.notify_all();
    }

    /// The thread ends soon. No service is watched from now on.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.thread = match std::mem::take(&mut state.thread) {
            MonitorThread::Unused => MonitorThread::Ended { thread: None, has_exited: true },
            MonitorThread::Watching(thread) => MonitorThread::Ended { thread: Some(thread), has_exited: false },
            ended @ MonitorThread::Ended { .. } => ended,
        };
        drop(state);
        self.wake();
    }

    /// Joins the thread, which must have been told to end. If it has not ended by `until`, because a logger blocks it, it
    /// ends on its own later.
    pub(super) fn join(&self, until: Instant) {
        let mut state = self.state.lock();
        loop {
            let MonitorThread::Ended { thread, has_exited } = &mut state.thread else { return };
            if *has_exited {
                let thread = thread.take();
                drop(state);
                // The thread has only to return. It cannot panic: its logger is called through `log_line`.
                _ = thread.map(JoinHandle::join);
                return;
            }
            if !wait(&self.exited, &mut state, Some(until)) {
                return;
            }
        }
    }
}

/// Sleeps until `next`, or until the alarm. Returns how much later the sleep ended.
fn sleep(clock: &Clock, next: Option<Instant>, alarm: &StopToken) -> Duration {
    let Some(next) = next else {
        alarm.wait();
        return Duration::ZERO;
    };
    let slept = clock.sleep_until(next, alarm, crate::diagnose::Waits::Sleep);
    slept.map_or(Duration::ZERO, |()| clock.overslept(next))
}

impl Registry {
    /// Watches the service for stalls: `limit` without a sign of life, by `clock`.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread of the monitor cannot be created.
    pub(crate) fn watch_for_stalls(self: &Arc<Self>, id: ServiceId, limit: Duration, clock: &Clock) -> io::Result<()> {
        let watch = self.monitor.watch((self, id), limit, clock)?;
        self.update(|state| state.record(id).threads.watch = Some(watch));
        Ok(())
    }

    /// Returns the watch of a service that is watched for stalls.
    pub(crate) fn stall_watch(&self, id: ServiceId) -> Option<Arc<Watch>> {
        self.read(|state| state.records[id.index()].threads.watch.clone())
    }

    /// Ends the monitor, if this is the registry of the outermost host.
    pub(crate) fn end_monitor(&self) {
        if self.read(|state| state.group.is_none()) {
            self.monitor.end();
        }
    }

    /// Joins the thread of the monitor, until `until`.
    pub(crate) fn join_monitor(&self, until: Instant) {
        if self.read(|state| state.group.is_none()) {
            self.monitor.join(until);
        }
    }
}
