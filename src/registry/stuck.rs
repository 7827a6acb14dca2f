//! What is left of a service that should have stopped: which thread, in which phase, and what it is blocked in.

#[cfg(feature = "disconnect")]
use crate::diagnose::Connection;
use crate::diagnose::{ProcSnapshot, ThreadProbe, clause};
use crate::report::{BlockedThread, Phase};
use crate::util::sync::Arc;
use crate::util::text::{Escaped, callback_thread_name};
use crate::util::time::since;
use std::time::Instant;

pub(crate) struct StuckService {
    name: Arc<str>,
    phase: Phase,
    thread: Option<ThreadProbe>,
    /// The service's own thread, if a callback is stuck and the thread is alive too.
    service_thread: Option<ThreadProbe>,
    since: Instant,
}

impl StuckService {
    pub(super) fn new(name: Arc<str>, phase: Phase, thread: Option<ThreadProbe>, since: Instant) -> Self {
        StuckService { name, phase, thread, service_thread: None, since }
    }

    pub(super) fn with_service_thread(self, service_thread: Option<ThreadProbe>) -> Self {
        StuckService { service_thread, ..self }
    }

    pub(super) fn into_thread(self) -> Option<ThreadProbe> {
        self.thread
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Inspects the thread. Reads files, so never call it under a lock.
    pub(crate) fn inspect(&self, snapshot: &ProcSnapshot) -> BlockedThread {
        let inspect = |thread: &Option<ThreadProbe>| thread.as_ref()?.blocked_in(snapshot);
        let blocked_in = match (inspect(&self.thread), inspect(&self.service_thread)) {
            (Some(callback), Some(service)) => Some(format!("{callback}, its service {}", clause(&service))),
            (callback, service) => callback.or(service),
        };
        self.blocked(blocked_in)
    }

    /// Returns the sockets that the thread waits on, and what it is blocked in. Reads files, so never call it under a
    /// lock.
    #[cfg(feature = "disconnect")]
    pub(super) fn connection(&self) -> std::io::Result<Option<(Connection, BlockedThread)>> {
        let connection = self.thread.as_ref().map_or(Ok(None), |thread| thread.connection(ProcSnapshot::new()))?;
        Ok(connection.map(|(connection, blocked_in)| (connection, self.blocked(Some(blocked_in)))))
    }

    /// Returns the same thread with the result of an earlier inspection.
    pub(crate) fn blocked(&self, blocked_in: Option<String>) -> BlockedThread {
        let is_callback = self.phase == Phase::Callback;
        let name = if is_callback { callback_thread_name(&self.name) } else { Escaped(&self.name).to_string() };
        let thread = match &self.thread {
            Some(thread) => format!("{name} (tid {thread})"),
            None => name,
        };
        BlockedThread { phase: self.phase, waited: since(self.since), thread, blocked_in }
    }

    /// Returns a short text for a log line that names several services.
    pub(crate) fn describe(&self, snapshot: &ProcSnapshot) -> String {
        let BlockedThread { phase, blocked_in, .. } = self.inspect(snapshot);
        let blocked = blocked_in.map(|call| format!(", {}", clause(&call))).unwrap_or_default();
        format!("`{}` (`{phase}`{blocked})", Escaped(&self.name))
    }
}
