//! `store`: the only service that writes to the catalogue. It writes in batches.

use crate::catalogue::{Catalogue, Change};
use hosted::{Queue, Service};
use std::path::Path;
use std::time::Duration;

/// The maximum number of changes in one transaction.
const BATCH: usize = 256;

/// Creates the service that writes the accepted changes.
///
/// If a batch fails, nothing of it is written, and its changes stay in it. The next attempt opens a new connection. When a
/// batch is written, the service drops its changes, and with them the claims of their files.
pub fn store(db: &Path, changes: &Queue<Change>) -> impl Service + use<> {
    let (db, mut connection) = (db.to_owned(), None);
    changes.batch_consumer(BATCH, Duration::ZERO, move |batch, _| {
        let mut catalogue = match connection.take() {
            Some(catalogue) => catalogue,
            None => Catalogue::open(&db)?,
        };
        catalogue.write(batch)?;
        connection = Some(catalogue);
        log::debug!("wrote {} changes", batch.len());
        Ok(())
    })
}
