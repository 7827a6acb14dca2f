//! The last resort: services that hang on a socket are disconnected from it. Feature `disconnect`.

use super::{Registry, StuckService};
use crate::diagnose::ProcSnapshot;
use crate::report::EventKind;
use crate::util::log::log_line;
use crate::util::text::Escaped;
use log::Level;
use std::io;

impl Registry {
    /// Shuts down the sockets that the threads of these services wait on, if they have not ended. False: that cannot be done
    /// here.
    pub(crate) fn disconnect(&self, mut services: impl Iterator<Item = usize>) -> bool {
        services.all(|index| {
            let done = self.threads(index).iter().try_for_each(|remains| self.cut(index, remains));
            done.inspect_err(|error| {
                let name = self.read(|inner| inner.slots[index].name.clone());
                let text = format_args!("service `{}` cannot be disconnected: {error}", Escaped(&name));
                log_line(Level::Warn, "hosted::service", text);
            })
            .is_ok()
        })
    }

    fn cut(&self, index: usize, remains: &StuckService) -> io::Result<()> {
        let Some((connection, seen)) = remains.connection()? else { return Ok(()) };
        self.update(|inner| {
            // Under the lock, so that it is told before what comes of it. It reads two files of the kernel's.
            if connection.shut_down(&ProcSnapshot::new()) {
                inner.slots[index].disconnected.push(seen.clone());
                inner.say_of(index, EventKind::Disconnected(seen));
            }
        });
        Ok(())
    }

    /// A service's own thread, until it has nothing more to do (then its number may soon be another's), and that of its stop
    /// callbacks.
    fn threads(&self, index: usize) -> Vec<StuckService> {
        self.read(|inner| {
            let slot = &inner.slots[index];
            let own = slot.ended.is_none().then(|| slot.own());
            slot.callback().into_iter().chain(own).collect()
        })
    }
}
