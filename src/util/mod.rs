//! Shared basics for every other module: locks and threads, time, panics, text and the log.

pub(crate) mod sync;
pub(crate) mod time;
pub(crate) mod panic;
pub(crate) mod text;
pub(crate) mod log;
#[cfg(feature = "metrics")]
pub(crate) mod metrics;
