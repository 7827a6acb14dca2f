//! `Host`: owns services, starts them in order, waits, stops them in reverse. Each file imports only from those
//! before it.

mod options;
mod plan;
mod reaper;
mod asking;
mod starting;
mod stopping;
mod conclusion;
mod group;

pub use group::group;
pub use options::{OnCompletion, OnFailure, ServiceOptions};

use crate::board::{Board, HostHandle, Slot};
use crate::clock::Clock;
use crate::error::{BoxError, Plain};
use crate::event::{Event, EventKind};
use crate::panic::guarded;
use crate::report::{HostError, Report};
use crate::service::Service;
use crate::signal::ctrl_c;
use crate::status::{HostState, StopReason};
use crate::stop::{StopSource, StopToken};
use crate::sync::Arc;
use crossbeam_channel::Receiver;
use plan::{Entry, SetupError};
use reaper::Reapers;
use starting::Aborted;
use std::fmt;
use std::time::Duration;

/// Below the 30 s after which Kubernetes kills.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// An application as a set of services: starts them in order, and stops them in reverse within a deadline.
///
/// .NET's `IHost`. Either the host has the main thread, with [`run`](Self::run), or the application keeps it, with
/// [`start`](Self::start) and [`stop`](Self::stop):
///
/// ```
/// use hosted::{Host, Restart, worker};
/// use std::time::Duration;
///
/// # fn poll() -> hosted::Result { Ok(()) }
/// # fn main() -> Result<(), hosted::HostError> {
/// let mut host = Host::new();
/// host.add("poller", worker(|ctx| loop {
///     poll()?;
///     ctx.sleep(Duration::from_secs(5))?;
/// }))
/// .restart(Restart::on_failure());
/// host.start()?; // every service is ready, or none is left running
/// // … the application's own loop …
/// let report = host.stop(Duration::from_secs(10))?; // every thread is joined, or named
/// println!("{report}");
/// # Ok(()) }
/// ```
///
/// A host runs once. Dropping one that runs stops it within its [`stop_timeout`](Self::stop_timeout) and logs what
/// goes wrong.
#[doc(alias("IHost", "GenericHost", "HostApplicationBuilder", "supervisor", "ServiceManager"))]
pub struct Host {
    board: Arc<Board>,
    clock: Clock,
    /// Of a group: its name, which stands before those of its services.
    prefix: Option<Arc<str>>,
    start_timeout: Option<Duration>,
    stop_timeout: Duration,
    entries: Vec<Entry>,
    reapers: Reapers,
    /// A service was added after the start: an error of the next one.
    added_late: Option<Arc<str>>,
}

impl Host {
    /// A host without services.
    #[doc(alias = "CreateApplicationBuilder")]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// A host whose services sleep and tick, and whose restarts wait, by `clock`.
    pub fn with_clock(clock: Clock) -> Self {
        Self::on(Board::new(None), clock, None)
    }

    fn on(board: Arc<Board>, clock: Clock, prefix: Option<Arc<str>>) -> Self {
        let reapers = Reapers::new(board.clone());
        let (start_timeout, stop_timeout, added_late) = (None, STOP_TIMEOUT, None);
        Host { board, clock, prefix, start_timeout, stop_timeout, entries: Vec::new(), reapers, added_late }
    }

    /// Adds a service. It starts after all those added before it, unless the options say otherwise.
    ///
    /// The name is its thread's name too. An empty one, one with a NUL, one that is taken: an error of
    /// [`start`](Self::start).
    #[doc(alias = "AddHostedService")]
    pub fn add(&mut self, name: impl Into<Arc<str>>, service: impl Service) -> &mut ServiceOptions {
        let name = name.into();
        let full = self.prefix.as_ref().map_or_else(|| name.clone(), |group| format!("{group}/{name}").into());
        let state = self.board.update(|inner| {
            inner.slots.push(Slot::new(full));
            inner.host
        });
        if state != HostState::New {
            let error = SetupError::AddedLate(name.clone());
            log::error!(target: "hosted::host", "{error}");
            self.added_late.get_or_insert(name.clone());
        }
        let (options, source) = (ServiceOptions::default(), StopSource::new());
        let service: Option<Box<dyn Service>> = Some(Box::new(service));
        let place = self.entries.len();
        self.entries.push(Entry { name, options, service, thread: None, source, after: Vec::new() });
        &mut self.entries[place].options
    }

    /// How long the start of the whole host may take. Default: as long as it takes.
    #[doc(alias = "StartupTimeout")]
    pub fn start_timeout(&mut self, limit: Duration) -> &mut Self {
        self.start_timeout = Some(limit);
        self
    }

    /// How long a stop by [`run`](Self::run), by a failed start and by dropping may take. Default: 25 s.
    #[doc(alias = "ShutdownTimeout")]
    pub fn stop_timeout(&mut self, limit: Duration) -> &mut Self {
        self.stop_timeout = limit;
        self
    }

    /// Starts every service; returns when all are ready.
    ///
    /// If one fails or takes too long, nothing more starts, and those that run are stopped in reverse, within the
    /// host's `stop_timeout`.
    ///
    /// # Errors
    ///
    /// What went wrong, the root cause first. [`HostError::failures`] is empty when it was the set-up (bad names, no
    /// thread to be had, a second start): then nothing was called, or all that was started is stopped again. It is
    /// also empty when a stop was asked for meanwhile.
    #[doc(alias = "StartAsync")]
    pub fn start(&mut self) -> Result<(), HostError> {
        if let Err(setup) = self.check() {
            return Err(self.refused(setup));
        }
        if !self.begin() {
            return Err(self.error(None));
        }
        let setup = match starting::start_all(self) {
            Ok(()) => return Ok(()),
            Err(Aborted::Stopped) => None,
            Err(Aborted::Setup(setup)) => {
                let culprit = setup.culprit().cloned().unwrap_or_default();
                self.board.request_stop(StopReason::Failed(culprit)).run_elsewhere("hosted-callbacks");
                Some(setup)
            }
        };
        stopping::stop_all(&self.board, &mut self.entries, &mut self.reapers, self.stop_timeout);
        Err(self.error(setup.map(BoxError::from)))
    }

    /// Waits until the host is to stop, and says why. It stops nothing itself.
    ///
    /// That is when a stop is requested, a service has failed for good, one with
    /// [`on_completion(StopHost)`](OnCompletion::StopHost) has completed, or all have completed. Returns at once when
    /// it has happened before.
    #[doc(alias = "WaitForShutdown")]
    pub fn wait(&self) -> StopReason {
        // Without a deadline it comes back with a reason only.
        self.board.wait_for(None, |inner| inner.reason.clone()).unwrap_or(StopReason::Requested)
    }

    /// Stops every service, in reverse, and joins its thread; for at most `timeout`.
    ///
    /// A service is asked when those that came after it have ended, or have used up their share of the time: everyone
    /// is asked before the deadline, and waited for until it. What is left then is named in the result, stays on the
    /// books, and is waited for again by another `stop`. Without a start it does nothing, well.
    ///
    /// # Errors
    ///
    /// When a service failed, at whatever time, or its thread is still alive. The report is in it.
    #[doc(alias = "StopAsync")]
    pub fn stop(&mut self, timeout: Duration) -> Result<Report, HostError> {
        let (state, outstanding) = self.board.read(|inner| (inner.host, inner.outstanding));
        match state {
            HostState::New => self.never_started(StopReason::Requested),
            HostState::Stopped if outstanding == 0 => {}
            _ => stopping::stop_all(&self.board, &mut self.entries, &mut self.reapers, timeout),
        }
        self.result()
    }

    /// Starts, waits, and stops: until ctrl-c, SIGTERM or SIGHUP, a request, a failure, or until all have completed.
    ///
    /// A second signal ends the process at once, with exit code 130.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`stop`](Self::stop), and when the signal handler cannot be installed. A stop
    /// asked for while it starts is none.
    #[doc(alias("RunAsync", "Run"))]
    pub fn run(&mut self) -> Result<Report, HostError> {
        let signal = ctrl_c().map_err(|error| self.refused(SetupError::NoSignals(error)))?;
        self.run_for(&signal, StopReason::Signal)
    }

    /// As [`run`](Self::run), until `stop` instead of a signal: for a program with a handler of its own.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). No handler is installed.
    pub fn run_until(&mut self, stop: &StopToken) -> Result<Report, HostError> {
        self.run_for(stop, StopReason::Requested)
    }

    /// Looks at this host from anywhere, and asks it to stop.
    pub fn handle(&self) -> HostHandle {
        HostHandle::new(self.board.clone())
    }

    /// What happens from now on, also in groups. Each call is a subscription of its own.
    ///
    /// It holds 1,024 events. A listener that falls further behind holds nobody up: it is told how many it missed.
    pub fn events(&self) -> Receiver<Event> {
        self.board.bus.subscribe()
    }

    fn run_for(&mut self, stop: &StopToken, reason: StopReason) -> Result<Report, HostError> {
        let board = self.board.clone();
        let _link = stop.on_stop(move || drop(board.request_stop(reason).run()));
        match self.start() {
            Ok(()) => {}
            Err(error) => return error.into_interrupted(),
        }
        self.wait();
        self.stop(self.stop_timeout)
    }

    fn check(&mut self) -> Result<(), SetupError> {
        if let Some(name) = self.added_late.take() {
            return Err(SetupError::AddedLate(name));
        }
        if self.board.read(|inner| inner.host) != HostState::New {
            return Err(SetupError::RanBefore);
        }
        plan::plan(&mut self.entries)
    }

    /// False: a stop had been requested before, and nothing is to start.
    fn begin(&mut self) -> bool {
        let services = self.entries.len();
        let reason = self.board.update(|inner| {
            if inner.reason.is_none() {
                inner.host = HostState::Starting;
                inner.living = services;
                inner.say(None, EventKind::HostStarting { services });
            }
            inner.reason.clone()
        });
        reason.map(|reason| self.never_started(reason)).is_none()
    }

    fn never_started(&self, reason: StopReason) {
        let callbacks = self.board.update(|inner| {
            inner.host = HostState::Stopped;
            inner.stop_for(reason)
        });
        callbacks.run_elsewhere("hosted-callbacks");
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let (state, timeout) = (self.board.read(|inner| inner.host), self.stop_timeout);
        if matches!(state, HostState::New | HostState::Stopped) {
            return;
        }
        match guarded(|| self.stop(timeout)) {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => log::error!(target: "hosted::host", "{}", Plain(&error.to_string())),
            Err(text) => log::error!(target: "hosted::host", "stopping a dropped host panicked: {}", Plain(&text)),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.entries.iter().map(|entry| &*entry.name).collect();
        f.debug_struct("Host").field("state", &self.handle().state()).field("services", &names).finish_non_exhaustive()
    }
}
