//! The forced disconnect: shuts down the sockets that hung services are blocked on. Feature `disconnect`.

use super::{Registry, ServiceId, StuckService};
use crate::diagnose::ProcSnapshot;
use crate::report::EventKind;
use crate::util::log::log_line;
use crate::util::text::Escaped;
use log::Level;
use std::io;

impl Registry {
    /// Shuts down the sockets that the threads of these services wait on, unless the threads have exited. Returns `false` if this
    /// system does not allow it.
    pub(crate) fn disconnect(&self, mut services: impl Iterator<Item = ServiceId>) -> bool {
        services.all(|id| {
            let done = self.threads(id).iter().try_for_each(|stuck| self.shut_down_sockets(id, stuck));
            done.inspect_err(|error| {
                let name = self.read(|state| state.records[id.index()].name.clone());
                let text = format_args!(
                    "cannot close the connection that service `{}` is blocked on: {error}",
                    Escaped(&name)
                );
                log_line(Level::Warn, "hosted::service", text);
            })
            .is_ok()
        })
    }

    fn shut_down_sockets(&self, id: ServiceId, stuck: &StuckService) -> io::Result<()> {
        let Some((connection, seen)) = stuck.connection()? else { return Ok(()) };
        self.update(|state| {
            // Under the lock, so that this event precedes the events that it causes. `shut_down` reads two files in `/proc`.
            if connection.shut_down(&ProcSnapshot::new()) {
                state.record(id).threads.disconnected.push(seen.clone());
                state.emit_for(id, EventKind::Disconnected(seen));
            }
        });
        Ok(())
    }

    /// Returns the thread of the service and the thread of its stop callbacks. If the service has exited, its thread is left out,
    /// because its thread number may be reused.
    fn threads(&self, id: ServiceId) -> Vec<StuckService> {
        self.read(|state| {
            let record = &state.records[id.index()];
            let own = (!record.has_exited()).then(|| record.stuck_thread());
            record.stuck_callback().into_iter().chain(own).collect()
        })
    }
}
