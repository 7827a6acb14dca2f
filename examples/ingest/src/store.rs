//! `store`: the only one who writes to the catalogue, a batch at a time.

use crate::catalogue::{Catalogue, Change};
use crossbeam_channel::{Receiver, Sender, select};
use hosted::{Context, Result, Service, Stopped};
use std::iter::once;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How many changes go into one transaction.
const BATCH: usize = 256;

pub struct Store {
    db: PathBuf,
    accepted: Receiver<Change>,
}

impl Store {
    pub fn new(db: &Path, accepted: Receiver<Change>) -> Self {
        Store { db: db.to_owned(), accepted }
    }

    /// Writes `first`, and whatever else has come meanwhile, in one transaction. Then it lets go of the claims.
    fn write(&self, first: Change, catalogue: &mut Catalogue) -> Result {
        let batch: Vec<Change> = once(first).chain(self.accepted.try_iter().take(BATCH - 1)).collect();
        catalogue.write(&batch)?;
        log::debug!("wrote {} changes", batch.len());
        Ok(())
    }
}

impl Service for Store {
    /// A connection for each run: a restart begins with a new one. What a failed run had taken is found again by the
    /// next scan.
    fn run(&mut self, ctx: &Context) -> Result {
        let mut catalogue = Catalogue::open(&self.db)?;
        while let Ok(first) = ctx.recv(&self.accepted) {
            self.write(first, &mut catalogue)?;
        }
        // Asked to stop: all who send have ended before, so what is in the channel is all there will be.
        let time_is_up = || ctx.stop_deadline().is_some_and(|deadline| Instant::now() >= deadline);
        while !time_is_up() {
            let Ok(first) = self.accepted.try_recv() else { break };
            self.write(first, &mut catalogue)?;
        }
        log::info!("files in the catalogue: {}", catalogue.totals()?.files);
        Ok(())
    }
}

/// Hands `change` to the store. While there is no room it waits, for as long as `ctx` is not stopped.
pub fn submit(change: Change, changes: &Sender<Change>, ctx: &Context) -> Result {
    select! {
        send(changes, change) -> _ => Ok(()), // without a store it has failed for good, and the host is stopping
        recv(ctx.done()) -> _ => Err(Stopped.into()),
    }
}
