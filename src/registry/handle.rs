//! `HostHandle`: a host as everyone but its owner sees it.

use super::Registry;
use crate::diagnose::{ProcSnapshot, at_thread_end};
use crate::report::{HostState, ServiceState, ServiceStatus, StopReason};
use crate::stop::StopToken;
use crate::util::panic::catch_panic;
use crate::util::sync::Arc;
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
    board: Arc<Registry>,
}

impl HostHandle {
    pub(crate) fn new(board: Arc<Registry>) -> Self {
        HostHandle { board }
    }

    /// A handle of no host: what a context without one has. It has no services, and remembers a request.
    pub(crate) fn detached() -> Self {
        HostHandle::new(Registry::new(None))
    }

    pub(crate) fn board(&self) -> &Arc<Registry> {
        &self.board
    }

    /// From now on the board hears when the calling thread, which is that of the service `index`, ends.
    ///
    /// To be called before the thread has thread-local values: so it hears after the destructors of these have run.
    pub(crate) fn hears_of_the_end(&self, index: usize) {
        let board = Arc::downgrade(&self.board);
        // The drop of a board may be the last of its services' errors, which is foreign code. There is nobody left to tell
        // of a panic: a logger may need the thread-local values that are gone.
        let left = move || _ = catch_panic(|| board.upgrade().inspect(|board| board.thread_ended(index)));
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
        self.board.request_stop(StopReason::Requested).run_and_log();
    }

    /// How every service is, at one moment, in order of registration; a group's children follow it.
    ///
    /// Never waits for a service, however slow its start or stop.
    #[doc(alias = "which_children")]
    pub fn services(&self) -> Vec<ServiceStatus> {
        let mut rows = self.board.statuses();
        let view = ProcSnapshot::new();
        for row in &mut rows {
            if matches!(row.state, ServiceState::Starting | ServiceState::Stopping | ServiceState::Hung) {
                row.blocked_in = row.blocked_in(&view);
            }
        }
        rows
    }

    /// Where the host is in its life.
    pub fn state(&self) -> HostState {
        self.board.read(|inner| inner.host)
    }

    /// Stopped when this host is asked to stop, also by a failure: for the application's own loops and waits, and
    /// as a parent of linked sources. .NET: `ApplicationStopping`.
    #[doc(alias = "ApplicationStopping")]
    pub fn stopping(&self) -> StopToken {
        self.board.stopping.token()
    }

    /// Stopped once every service has started.
    pub(crate) fn started(&self) -> StopToken {
        self.board.started.token()
    }
}

impl fmt::Debug for HostHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostHandle").field("state", &self.state()).finish_non_exhaustive()
    }
}
