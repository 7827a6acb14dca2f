//! Waits for the commits of other processes, and wakes the writer.

use super::pool::Pool;
use crate::store::Watch;
use hosted::{Context, Result, Service};
use std::sync::Arc;

pub(super) struct Watcher {
    pool: Arc<Pool>,
}

impl Watcher {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Watcher { pool }
    }

    /// Wakes the writer when the descriptor becomes readable, once each time that the writer has gone to sleep.
    ///
    /// A writer that is awake causes events itself, with every commit. They must not cost a wake-up each.
    #[cfg(all(feature = "sqlite", target_os = "linux"))]
    fn watch(&self, descriptor: std::os::fd::OwnedFd, ctx: &Context) -> Result {
        use std::io::{ErrorKind, Read};
        let mut events = std::fs::File::from(descriptor);
        let mut buffer = [0; 4096];
        while ctx.recv(&self.pool.watch_requests.1).is_ok() {
            if ctx.wait_readable(&events, None).is_err() {
                break; // the stop
            }
            loop {
                match events.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                }
            }
            self.pool.bell.announce_foreign();
        }
        Ok(())
    }
}

impl Service for Watcher {
    fn run(&mut self, ctx: &Context) -> Result {
        match self.pool.core.backend.watch() {
            #[cfg(all(feature = "sqlite", target_os = "linux"))]
            Watch::Descriptor(descriptor) => self.watch(descriptor, ctx)?,
            #[cfg(feature = "sqlite")]
            Watch::Poll(period) => {
                while ctx.sleep(period).is_ok() {
                    self.pool.bell.announce_foreign();
                }
            }
            Watch::Alone => {}
        }
        ctx.wait();
        Ok(())
    }
}
