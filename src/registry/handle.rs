//! `HostHandle`: the view of a host for everyone but its owner.

use super::{MemberSlot, Registry, ServiceId};
use crate::clock::Clock;
use crate::diagnose::{ProcSnapshot, at_thread_end};
use crate::report::{Event, HostState, ServiceState, ServiceStatus, StopReason};
use crate::stop::StopToken;
use crate::util::panic::catch_panic;
use crate::util::sync::Arc;
use crossbeam_channel::Receiver;
use std::fmt;
use std::time::Instant;

/// A handle that shows the state of a host, and can request its stop, from any thread. .NET: `IHostApplicationLifetime`.
///
/// A handle is cheap to clone and may outlive its host. [`Host::handle`](crate::Host::handle) returns it, and inside a service
/// [`Context::host`](crate::Context::host).
///
/// ```
/// use hosted::{Host, worker};
///
/// let mut host = Host::new();
/// host.add("one-shot", worker(|ctx| {
///     ctx.host().request_stop(); // the whole application
///     Ok(())
/// }));
/// let report = host.run().unwrap();
/// assert_eq!(report.reason, hosted::StopReason::Requested);
/// ```
#[doc(alias("IHostApplicationLifetime", "StopApplication"))]
#[derive(Clone)]
pub struct HostHandle {
    registry: Arc<Registry>,
}

impl HostHandle {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        HostHandle { registry }
    }

    /// Returns a handle without a host, for a context without a host. It has no services, and keeps a stop request.
    pub(crate) fn detached() -> Self {
        HostHandle::new(Registry::new(None, Clock::system()))
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Records in the registry when the calling thread, which is that of the service `id`, exits.
    ///
    /// Call this before the thread has thread-local values: then the record is made after their destructors have run.
    ///
    /// `member` keeps the id of a member of a dynamic group valid until then.
    pub(crate) fn record_thread_end(&self, id: ServiceId, member: Option<Arc<MemberSlot>>) {
        member.iter().for_each(|member| member.mark_thread());
        let registry = Arc::downgrade(&self.registry);
        // Dropping the last reference to a registry drops errors of its services, which is user code. A panic is not logged:
        // a logger may need the thread-local values that are gone.
        let left = move || {
            _ = catch_panic(|| registry.upgrade().inspect(|registry| registry.mark_thread_ended(id)));
            _ = catch_panic(|| drop(member));
        };
        // `false` means that the thread is exiting already. That cannot be: this thread has just begun.
        _ = at_thread_end(left);
    }

    /// Returns these rows, with what the threads of services are blocked in that are starting, stopping or hung.
    pub(crate) fn with_blocked_in(mut rows: Vec<ServiceStatus>) -> Vec<ServiceStatus> {
        let view = ProcSnapshot::new();
        for row in &mut rows {
            if matches!(row.state, ServiceState::Starting | ServiceState::Stopping | ServiceState::Hung) {
                row.blocked_in = row.blocked_in(&view);
            }
        }
        rows
    }

    /// Requests a stop of the host, and returns without waiting for the stop.
    ///
    /// After [`Host::start`](crate::Host::start) the request stops no service on its own: it stops the token
    /// [`stopping`](Self::stopping), and [`Host::wait`](crate::Host::wait) returns. The services stop when the owner of
    /// the host calls [`Host::stop`](crate::Host::stop), or drops the host. [`Host::run`](crate::Host::run) does that at once.
    /// An owner that must not block, such as a GUI, moves the host to a thread that waits and stops:
    ///
    /// ```
    /// use hosted::{Host, worker};
    /// use std::time::Duration;
    ///
    /// let mut host = Host::new();
    /// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
    /// host.start().unwrap();
    /// let handle = host.handle();
    /// let stopper = std::thread::spawn(move || {
    ///     host.wait(); // for a request or a failure
    ///     host.stop(Duration::from_secs(10))
    /// });
    /// // … the event loop; when its window closes:
    /// handle.request_stop();
    /// let report = stopper.join().unwrap().unwrap();
    /// # assert!(matches!(report.services[0].outcome, hosted::Outcome::Stopped));
    /// ```
    ///
    /// If the host has a [`drain`](crate::Host::drain), a second request ends the drain.
    ///
    /// If the host has not started, a later `start` starts nothing. If a child of a [group](crate::group) calls this, the request
    /// goes to the host that contains the group.
    #[doc(alias("StopApplication", "StopAsync"))]
    pub fn request_stop(&self) {
        self.registry.request_stop(StopReason::Requested).run_and_log();
    }

    /// Returns the status of every service at one moment, in the order of registration. The children of a group follow the
    /// group.
    ///
    /// The call never waits for a service, even if its start or stop is slow.
    #[doc(alias = "which_children")]
    pub fn services(&self) -> Vec<ServiceStatus> {
        Self::with_blocked_in(self.registry.statuses())
    }

    /// Subscribes to the events from now on, including those of groups. Each call creates a separate subscription.
    ///
    /// A subscription holds 1,024 events. A subscriber that lags behind delays nobody: it loses events, and receives
    /// [`EventKind::Lagged`](crate::EventKind::Lagged) with their number. See [`Host::events`](crate::Host::events).
    ///
    /// ```
    /// use hosted::{EventKind, Host, worker};
    ///
    /// let mut host = Host::new();
    /// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
    /// let events = host.handle().events();
    /// host.start().unwrap();
    /// assert!(events.iter().any(|event| matches!(event.kind, EventKind::HostStarted { .. })));
    /// # host.stop(std::time::Duration::from_secs(10)).unwrap();
    /// ```
    pub fn events(&self) -> Receiver<Event> {
        self.registry.subscribe()
    }

    /// Returns the state of the host.
    pub fn state(&self) -> HostState {
        self.registry.host_state()
    }

    /// Returns `true` once every service of the host has started. It stays `true` during the shutdown and after it.
    ///
    /// Kubernetes: the answer of a start-up probe. A host whose start failed or was interrupted has never started. Inside a
    /// [group](crate::group), the answer is about the whole host.
    pub fn has_started(&self) -> bool {
        self.started().stop_requested()
    }

    /// Returns `true` if the host can take work. Kubernetes: the answer of a readiness probe.
    ///
    /// The host is ready from the moment at which every service has started until a stop is requested, while every service
    /// is [healthy](crate::Health::Healthy). A service that is degraded or stalled makes the host unready, unless its failure
    /// is [ignored](crate::ServiceStatus::ignores_failure). Services in groups count like all others.
    ///
    /// ```
    /// use hosted::{Host, worker};
    /// use std::time::Duration;
    ///
    /// let mut host = Host::new();
    /// host.add("api", worker(|ctx| { ctx.wait(); Ok(()) }));
    /// let handle = host.handle();
    /// assert!(!handle.is_ready());
    /// host.start().unwrap();
    /// assert!(handle.is_ready() && handle.has_started() && handle.is_live());
    /// handle.request_stop();
    /// assert!(!handle.is_ready());
    /// # host.stop(Duration::from_secs(10)).unwrap();
    /// ```
    #[doc(alias("readiness", "readyz"))]
    pub fn is_ready(&self) -> bool {
        self.registry.is_ready()
    }

    /// Returns `true` if no service is stalled or hung. Kubernetes: the answer of a liveness probe.
    ///
    /// Services whose failure is ignored count too: their threads still hold what they hold. Before the start and after a
    /// clean stop, the answer is `true`.
    #[doc(alias("liveness", "livez", "healthz"))]
    pub fn is_live(&self) -> bool {
        self.registry.is_live()
    }

    /// Returns by when the start or the stop that is in progress will be over, by the system clock.
    ///
    /// Returns `None` if the host is neither starting nor stopping, or if there is no such limit:
    ///
    /// - During a start, the limit is the latest start timeout of the services that are starting. It moves when other services
    ///   start. A service without a start timeout has no limit.
    /// - During a stop, the limit is that of the call of [`Host::stop`](crate::Host::stop), or the `stop_timeout` of the host.
    ///   The time of a [drain](crate::Host::drain) before the stop is added. There is no limit before the owner of the host
    ///   stops it, even if a stop was requested.
    ///
    /// ```
    /// use hosted::{Host, worker};
    /// use std::time::{Duration, Instant};
    ///
    /// let mut host = Host::new();
    /// host.add("poller", worker(|ctx| {
    ///     ctx.wait();
    ///     let left = ctx.host().deadline().map(|deadline| deadline - Instant::now());
    ///     assert!(left.is_some_and(|left| left <= Duration::from_secs(10)));
    ///     Ok(())
    /// }));
    /// host.start().unwrap();
    /// assert_eq!(host.handle().deadline(), None);
    /// host.stop(Duration::from_secs(10)).unwrap();
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.registry.host_deadline()
    }

    /// Returns a token that stops when a stop of this host is requested, by a caller or by a failure. Use it in the
    /// application's own loops and waits, and as a parent of linked sources. .NET: `ApplicationStopping`.
    #[doc(alias = "ApplicationStopping")]
    pub fn stopping(&self) -> StopToken {
        self.registry.stopping.token()
    }

    /// Returns a token that stops when every service has started.
    pub(crate) fn started(&self) -> StopToken {
        self.registry.started.token()
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHandle").field("state", &self.state()).finish_non_exhaustive()
    }
}
