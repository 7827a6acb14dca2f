//! Helpers that every other module may use: panics, time, randomness.

mod panic;
mod random;
mod time;

pub(crate) use panic::{catch_panic, drop_catching_panic};
pub(crate) use random::{random, random_between};
pub(crate) use time::{Millis, from_millis, millis, to_millis};
