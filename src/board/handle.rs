//! `HostHandle`: a host as everyone but its owner sees it.

use super::{Board, Part, snapshot};
use crate::blocked::View;
use crate::status::{HostState, ServiceStatus, State, StopReason};
use crate::stop::StopToken;
use crate::sync::Arc;
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
    board: Arc<Board>,
}

impl HostHandle {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        HostHandle { board }
    }

    /// A handle of no host: what a context without one has. It has no services, and remembers a request.
    pub(crate) fn detached() -> Self {
        HostHandle::new(Board::new(None))
    }

    pub(crate) fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Asks the host to stop. It does not wait for that.
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
        let mut rows = snapshot(vec![Part::Group(self.board.clone())], Vec::new());
        let view = View::new();
        for row in &mut rows {
            if matches!(row.state, State::Starting | State::Stopping | State::Hung) {
                row.blocked_in = row.look(&view);
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
