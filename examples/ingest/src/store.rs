//! `store`: the only service that writes to the catalogue. It writes in batches.

use crate::catalogue::{Catalogue, Change};
use crossbeam_channel::{Receiver, Sender, select};
use hosted::{Context, Result, Service, Stopped};
use std::iter::once;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The maximum number of changes in one transaction.
const BATCH: usize = 256;

pub struct Store {
    db: PathBuf,
    accepted: Receiver<Change>,
}

impl Store {
    pub fn new(db: &Path, accepted: Receiver<Change>) -> Self {
        Store { db: db.to_owned(), accepted }
    }

    /// Writes `first` and the changes that are waiting behind it in one transaction. Then it drops their claims.
    fn write(&self, first: Change, catalogue: &mut Catalogue) -> Result {
        let batch: Vec<Change> = once(first).chain(self.accepted.try_iter().take(BATCH - 1)).collect();
        catalogue.write(&batch)?;
        log::debug!("wrote {} changes", batch.len());
        Ok(())
    }
}

impl Service for Store {
    /// Opens a connection for each run, so that a restart begins with a new one. The next scan finds the files whose
    /// changes a failed run had received but not written.
    fn run(&mut self, ctx: &Context) -> Result {
        let mut catalogue = Catalogue::open(&self.db)?;
        while let Ok(first) = ctx.recv(&self.accepted) {
            self.write(first, &mut catalogue)?;
        }
        // A stop was requested. The senders have already stopped, so the channel receives no further changes.
        let time_is_up = || ctx.stop_deadline().is_some_and(|deadline| Instant::now() >= deadline);
        while !time_is_up() {
            let Ok(first) = self.accepted.try_recv() else { break };
            self.write(first, &mut catalogue)?;
        }
        log::info!("files in the catalogue: {}", catalogue.totals()?.files);
        Ok(())
    }
}

/// Sends `change` to the store. Blocks while the channel is full, until `ctx` is stopped.
pub fn submit(change: Change, changes: &Sender<Change>, ctx: &Context) -> Result {
    select! {
        send(changes, change) -> _ => Ok(()), // an error: the store has failed for good, and the host stops
        recv(ctx.done()) -> _ => Err(Stopped.into()),
    }
}
