//! Random numbers for jitter and for the ids of workers. The standard library seeds each hasher from the system.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Returns 64 random bits.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Returns a random number from `low` to `high`, both included. Returns `low` if the range is empty.
pub(crate) fn random_between(low: u64, high: u64) -> u64 {
    match high.saturating_sub(low).checked_add(1) {
        Some(span) => low + random() % span,
        None => random(),
    }
}
