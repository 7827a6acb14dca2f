//! The one function that writes a log record.

use super::panic::catch_panic;
use super::text::Escaped;
use log::Level;
use std::fmt;

/// Writes a log line, with control characters escaped.
///
/// The logger is user code, so the caller must not hold a lock. A panic of the logger is discarded: it must not end the
/// calling thread, and the log is the only place where it could be reported.
pub(crate) fn log_line(level: Level, target: &str, text: fmt::Arguments<'_>) {
    if level <= log::max_level() {
        _ = catch_panic(|| log::log!(target: target, level, "{}", Escaped(&text.to_string())));
    }
}
