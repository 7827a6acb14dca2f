//! Limits per key. They are decided when a job becomes ready, by counting rows: there is no counter that could drift.
//!
//! So a claim never meets a job that may not run, and the held jobs of one key are in nobody's way.

use crate::store::{Result, Tx};

/// The number of arrived jobs that one round reads.
const ROUND: usize = 500;

/// Decides for every arrived job whether it becomes ready or is held.
pub(super) fn admit_arrived(tx: &mut dyn Tx) -> Result<()> {
    loop {
        let keys = tx.arrived_keys(ROUND)?;
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            // All of the key at once, so that the next round finds other keys.
            tx.hold_arrived(&key)?;
            admit(tx, &key)?;
        }
    }
}

/// Makes held jobs of the key ready as long as there is room.
///
/// If the jobs of a key disagree about the limit, the smallest one counts.
pub(super) fn admit(tx: &mut dyn Tx, key: &str) -> Result<()> {
    while let Some((id, most)) = tx.first_held(key)? {
        let (used, smallest) = tx.limit_usage(key)?;
        if used >= smallest.map_or(most, |smallest| smallest.min(most)) {
            break;
        }
        tx.make_ready(id)?;
    }
    Ok(())
}

/// A job has left the ready and running ones: the next of its key gets its place.
pub(super) fn release_place(tx: &mut dyn Tx, place: &crate::store::ReleasedPlace) -> Result<()> {
    match &place.limit_key {
        Some(key) => admit(tx, key),
        None => Ok(()),
    }
}
