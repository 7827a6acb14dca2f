//! `Host`: owns services, starts them in order, waits, and stops them in reverse order. Each file imports only from the files
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
#[cfg(all(feature = "systemd", target_os = "linux"))]
mod companion;
mod lifecycle;
mod group;
mod member_error;
mod member;
mod add_member;
mod dynamic;

#[cfg(all(feature = "systemd", target_os = "linux"))]
pub(crate) use companion::{Companion, Flush};
pub use dynamic::DynamicGroup;
pub use group::group;
pub use member::Member;
pub use member_error::{AddError, MemberError};
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

/// Less than the 30 s after which Kubernetes kills a container.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);

/// A set of services that the host starts in order, and stops in reverse order within a deadline.
///
/// .NET: `IHost`. Call [`run`](Self::run) to let the host block the main thread. Call [`start`](Self::start) and
/// [`stop`](Self::stop) if the application has its own main loop:
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
/// host.start()?; // if this is `Ok`, every service is ready
/// // … the application's own loop …
/// let report = host.stop(Duration::from_secs(10))?; // if this is `Ok`, every thread is joined
/// println!("{report}");
/// # Ok(()) }
/// ```
///
/// A host can run only once. Dropping a running host stops it within its [`stop_timeout`](Self::stop_timeout) and logs the
/// errors of that shutdown. If you forget a host (`mem::forget`), nobody stops it, and its services continue.
#[doc(alias("IHost", "GenericHost", "HostApplicationBuilder", "supervisor", "ServiceManager"))]
pub struct Host {
    registry: Arc<Registry>,
    clock: Clock,
    /// The name of the group, if this is the host of a group. The names of its services begin with it.
    prefix: Option<Arc<str>>,
    /// If this is the host of a group: a token that stops when the group, and so its services, will not be started again.
    retired: Option<StopToken>,
    start_timeout: Option<Duration>,
    stop_timeout: Duration,
    services: Vec<HostedService>,
    /// The dependencies of each service. `start` sets them.
    dependencies: Vec<Vec<ServiceId>>,
    names: Names,
    reapers: Reapers,
    /// The first service that was added after the start. It never runs, and causes an error of `start`, `stop` and `run`.
    added_late: Option<Arc<str>>,
    /// While the host is registered here, a second ctrl-c logs which services are left. `start` registers it.
    watched: Option<HostRegistration>,
    #[cfg(all(feature = "systemd", target_os = "linux"))]
    companions: Vec<Companion>,
}

impl Host {
    /// Creates a host without services.
    #[doc(alias = "CreateApplicationBuilder")]
    pub fn new() -> Self {
        Self::with_clock(Clock::system())
    }

    /// Creates a host with a name. The name stands in its log lines, its events and its report, so that you can distinguish
    /// several hosts in one process.
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

    /// Creates a host whose sleeps, ticks and restart backoffs use `clock`.
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
            #[cfg(all(feature = "systemd", target_os = "linux"))]
            companions: Vec::new(),
        }
    }

    /// Adds a service. By default it starts when all services that were added before it are ready. The returned options can
    /// change that.
    ///
    /// The thread of the service has the same name. Child `b` of a group `a` is shown as `a/b`. [`start`](Self::start) returns an
    /// error if the name is empty, contains NUL, or is already taken.
    ///
    /// A service that is added after the start never runs. The host logs that at once, and [`stop`](Self::stop),
    /// [`run`](Self::run) and another `start` return an error.
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
        self.services.push(HostedService { name, options, service: Some(service), thread: None, source, member: None });
        &mut self.services[id.index()].options
    }

    /// Sets how long the start of the whole host may take. Default: no limit.
    #[doc(alias = "StartupTimeout")]
    pub fn start_timeout(&mut self, limit: Duration) -> &mut Self {
        self.start_timeout = Some(limit);
        self
    }

    /// Sets how long the shutdown may take that [`run`](Self::run), a failed start, or the drop of the host begins. Default:
    /// 25 s.
    #[doc(alias = "ShutdownTimeout")]
    pub fn stop_timeout(&mut self, limit: Duration) -> &mut Self {
        self.stop_timeout = limit;
        self
    }

    /// Returns a handle that shows the state of this host, and can request its stop, from any thread.
    pub fn handle(&self) -> HostHandle {
        HostHandle::new(self.registry.clone())
    }

    /// Subscribes to the events from now on, including those of groups. Each call creates a separate subscription.
    ///
    /// A subscription holds 1,024 events. A subscriber that lags behind delays nobody: it loses events, and receives
    /// [`EventKind::Lagged`](crate::EventKind::Lagged) with their number. Only events that wait to be received use memory, which
    /// is freed when the receiver is dropped. The host removes a dropped subscription (a few hundred bytes) at its next event.
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
        let log_error =
            |text| log_line(Level::Error, "hosted::host", format_args!("error while dropping a host: {text}"));
        let timeout = self.stop_timeout;
        if self.handle().state() != HostState::Stopped {
            // If the host was never started, this only ends the waits for `stopping`.
            match catch_panic(|| self.stop(timeout)) {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => log_error(error.to_string()),
                Err(text) => log_error(text),
            }
        }
        // This drops the services that were never started. Their `Drop` is user code, which may panic.
        let services = self.services.drain(..).map(|hosted| hosted.service);
        services.filter_map(|service| drop_catching_panic(service).err()).for_each(log_error);
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.services.iter().map(|hosted| &*hosted.name).collect();
        f.debug_struct("Host").field("state", &self.handle().state()).field("services", &names).finish_non_exhaustive()
    }
}
