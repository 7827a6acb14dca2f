//! `Host`: owns services, starts them in order, waits, stops them in reverse. Each file imports only from those
//! before it.

mod names;
mod options;
mod supervisor;
mod validate;
mod reaper;
mod stop_request;
mod stop_budget;
mod graph;
mod progress;
mod startup;
mod disconnect;
mod inspection;
mod early_stops;
mod shutdown;
mod outcome;
mod lifecycle;
mod group;

pub use group::group;
pub use options::{OnCompletion, OnFailure, ServiceOptions};

use crate::clock::Clock;
use crate::registry::{HostHandle, Registry, Retired, ServiceId};
use crate::report::{Event, HostState};
use crate::service::Service;
use crate::signal::HostRegistration;
use crate::stop::{StopSource, StopToken};
use crate::util::log::log_line;
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::sync::Arc;
use crossbeam_channel::Receiver;
use log::Level;
use names::Names;
use reaper::Reapers;
use std::fmt;
use std::time::Duration;
use validate::{HostedService, SetupError};

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
/// goes wrong. One that is forgotten (`mem::forget`) is stopped by nobody: its services run on.
#[doc(alias("IHost", "GenericHost", "HostApplicationBuilder", "supervisor", "ServiceManager"))]
pub struct Host {
    registry: Arc<Registry>,
    clock: Clock,
    /// Of a group: its name, which stands before those of its services.
    prefix: Option<Arc<str>>,
    /// Of a group: stopped once the group will not be started again, and so none of its services.
    retired: Option<StopToken>,
    start_timeout: Option<Duration>,
    stop_timeout: Duration,
    services: Vec<HostedService>,
    /// The dependencies of each service, from the start on.
    dependencies: Vec<Vec<ServiceId>>,
    names: Names,
    reapers: Reapers,
    /// The first service that was added after the start, and never runs: an error of `start`, `stop` and `run`.
    added_late: Option<Arc<str>>,
    /// From the start on: a second ctrl-c logs which of the services are left.
    watched: Option<HostRegistration>,
}

impl Host {
    /// A host without services.
    #[doc(alias = "CreateApplicationBuilder")]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Creates a host with a name. The name stands in its log lines, its events and its report, so that several hosts in
    /// one process can be told apart.
    ///
    /// ```
    /// use hosted::{Host, worker};
    /// use std::time::Duration;
    ///
    /// let mut host = Host::named("downloads");
    /// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
    /// host.start().unwrap();
    /// let report = host.stop(Duration::from_secs(10)).unwrap();
    /// assert_eq!(report.host.as_deref(), Some("downloads"));
    /// assert!(report.to_string().starts_with("downloads: stopped in "));
    /// ```
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        let host = Self::new();
        host.registry.set_name(name.into());
        host
    }

    /// A host whose services sleep and tick, and whose restarts wait, by `clock`.
    pub fn with_clock(clock: Clock) -> Self {
        Self::on(Registry::new(None), clock, None, None)
    }

    fn on(registry: Arc<Registry>, clock: Clock, prefix: Option<Arc<str>>, retired: Option<StopToken>) -> Self {
        let reapers = Reapers::new(registry.clone());
        let (start_timeout, stop_timeout, added_late) = (None, STOP_TIMEOUT, None);
        let (services, names) = (Vec::new(), Names::default());
        let watched = None;
        Host {
            registry,
            clock,
            prefix,
            retired,
            start_timeout,
            stop_timeout,
            services,
            dependencies: Vec::new(),
            names,
            reapers,
            added_late,
            watched,
        }
    }

    /// Adds a service. It starts after all those added before it, unless the options say otherwise.
    ///
    /// The name is its thread's name too. (`a/b` is also how child `b` of a group `a` is shown.) An empty one, one with a NUL, one that is taken: an error of
    /// [`start`](Self::start).
    ///
    /// A service that is added after the start never runs. That is logged at once, and is an error of [`stop`](Self::stop),
    /// [`run`](Self::run) and another `start`.
    #[doc(alias = "AddHostedService")]
    pub fn add(&mut self, name: impl Into<Arc<str>>, service: impl Service) -> &mut ServiceOptions {
        let name = name.into();
        let full = self.prefix.as_ref().map_or_else(|| name.clone(), |group| format!("{group}/{name}").into());
        let retired = match &self.retired {
            Some(group) => Retired::WithGroup(group.clone()),
            None => Retired::Own(StopSource::new()),
        };
        let mut service: Box<dyn Service> = Box::new(service);
        service.attach(&retired.token());
        let (id, state) = self.registry.add(full, retired);
        if state != HostState::New {
            let error = SetupError::AddedLate(name.clone());
            log_line(Level::Error, "hosted::host", format_args!("{error}"));
            self.added_late.get_or_insert(name.clone());
            self.registry.retire(id); // it never starts
        }
        self.names.add(name.clone());
        let (options, source) = (ServiceOptions::among(self.names.clone()), StopSource::new());
        self.services.push(HostedService { name, options, service: Some(service), thread: None, source });
        &mut self.services[id.index()].options
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

    /// Looks at this host from anywhere, and asks it to stop.
    pub fn handle(&self) -> HostHandle {
        HostHandle::new(self.registry.clone())
    }

    /// What happens from now on, also in groups. Each call is a subscription of its own.
    ///
    /// It holds 1,024 events. A listener that falls further behind holds nobody up: it is told how many it missed. LastObservation is
    /// used only by the events that wait to be received, and is freed when the receiver is dropped. The host forgets a
    /// dropped subscription, which is a few hundred bytes, with its next event.
    pub fn events(&self) -> Receiver<Event> {
        self.registry.subscribe()
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let complain = |text| log_line(Level::Error, "hosted::host", format_args!("dropping a host: {text}"));
        let timeout = self.stop_timeout;
        if self.handle().state() != HostState::Stopped {
            // Of one that was never started it says just that, to whoever waits for `stopping`.
            match catch_panic(|| self.stop(timeout)) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => complain(error.to_string()),
                Err(text) => complain(text),
            }
        }
        // What was never started goes here, and its Drop is foreign code.
        let services = self.services.drain(..).map(|hosted| hosted.service);
        services.filter_map(|service| drop_catching_panic(service).err()).for_each(complain);
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|hosted| &*hosted.name).collect();
        f.debug_struct("Host").field("state", &self.handle().state()).field("services", &names).finish_non_exhaustive()
    }
}
