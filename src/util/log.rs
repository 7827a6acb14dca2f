//! The one function that writes a log record.

use super::panic::catch_panic;
use super::text::Escaped;
use log::Level;
use std::fmt;

/// Writes a log line. The logger is foreign code: never under a lock. One that panics must not end the thread that
/// tells, and there is nobody left to tell of it.
pub(crate) fn log_line(level: Level, target: &str, text: fmt::Arguments<'_>) {
    if level <= log::max_level() {
        _ = catch_panic(|| log::log!(target: target, level, "{}", Escaped(&text.to_string())));
    }
}
