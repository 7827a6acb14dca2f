//! `HostHandle`: a host as everyone but its owner sees it.

use super::{Registry, ServiceId};
use crate::diagnose::{ProcSnapshot, at_thread_end};
use crate::report::{Event, HostState, ServiceState, ServiceStatus, StopReason};
use crate::stop::StopToken;
use crate::util::panic::catch_panic;
use crate::util::sync::Arc;
use crossbeam_channel::Receiver;
use std::fmt;

/// Looks at a host from anywhere, and asks it to stop. .NET's `IHostApplicationLifetime`.
///
/// Cheap to clone; outlives its host. From [`Host::handle`](crate::Host::handle) or, inside a service, from
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

    /// A handle of no host: what a context without one has. It has no services, and remembers a request.
    pub(crate) fn detached() -> Self {
        HostHandle::new(Registry::new(None))
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// From now on the registry hears when the calling thread, which is that of the service `index`, ends.
    ///
    /// To be called before the thread has thread-local values: so it hears after the destructors of these have run.
    pub(crate) fn record_thread_end(&self, id: ServiceId) {
        let registry = Arc::downgrade(&self.registry);
        // The drop of a registry may be the last of its services' errors, which is foreign code. There is nobody left to tell
        // of a panic: a logger may need the thread-local values that are gone.
        let left = move || _ = catch_panic(|| registry.upgrade().inspect(|registry| registry.mark_thread_ended(id)));
        // False on a thread that ends already: this one begins.
        _ = at_thread_end(left);
    }

    /// Asks the host to stop. It does not wait for that.
    ///
    /// After [`Host::start`](crate::Host::start) the request stops no service by itself: it makes
    /// [`stopping`](Self::stopping) stopped and [`Host::wait`](crate::Host::wait) return. The services stop when the owner of
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
    /// Before the start, it stops the coming run. Asked of a [group](crate::group)'s own host by a child, it asks
    /// the host that the group is in.
    #[doc(alias("StopApplication", "StopAsync"))]
    pub fn request_stop(&self) {
        self.registry.request_stop(StopReason::Requested).run_and_log();
    }

    /// How every service is, at one moment, in order of registration; a group's children follow it.
    ///
    /// Never waits for a service, however slow its start or stop.
    #[doc(alias = "which_children")]
    pub fn services(&self) -> Vec<ServiceStatus> {
        let mut rows = self.registry.statuses();
        let view = ProcSnapshot::new();
        for row in &mut rows {
            if matches!(row.state, ServiceState::Starting | ServiceState::Stopping | ServiceState::Hung) {
                row.blocked_in = row.blocked_in(&view);
            }
        }
        rows
    }

    /// Subscribes to what happens from now on, also in groups. Each call is a subscription of its own.
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

    /// Where the host is in its life.
    pub fn state(&self) -> HostState {
        self.registry.host_state()
    }

    /// Stopped when this host is asked to stop, also by a failure: for the application's own loops and waits, and
    /// as a parent of linked sources. .NET: `ApplicationStopping`.
    #[doc(alias = "ApplicationStopping")]
    pub fn stopping(&self) -> StopToken {
        self.registry.stopping.token()
    }

    /// Stopped once every service has started.
    pub(crate) fn started(&self) -> StopToken {
        self.registry.started.token()
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHandle").field("state", &self.state()).finish_non_exhaustive()
    }
}
