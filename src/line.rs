//! Lines for people: what may stand on one, and how it gets into the log.

use crate::panic::guarded;
use log::Level;
use std::fmt::{self, Write};
use std::time::Duration;

/// Writes a log line. The logger is foreign code: never under a lock. One that panics must not end the thread that
/// tells, and there is nobody left to tell of it.
pub(crate) fn log(level: Level, target: &str, text: fmt::Arguments<'_>) {
    if level <= log::max_level() {
        _ = guarded(|| log::log!(target: target, level, "{}", Plain(&text.to_string())));
    }
}

/// Text from outside, with what steers escaped: a name or a message cannot forge a log line, or read as another.
pub(crate) struct Plain<'a>(pub(crate) &'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if steers(c) { write!(f, "{}", c.escape_debug())? } else { f.write_char(c)? }
        }
        Ok(())
    }
}

/// Whether `c` is an order to a terminal, ends a line, or turns the letters after it around. What joins letters stays:
/// emoji and some scripts are made with it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The name of a thread that runs stop callbacks of the service `name`.
pub(crate) fn on_stop(name: &str) -> String {
    format!("{}:on_stop", Plain(name))
}

/// A time as people read it: `2.25 s`, `310 ms`, `85 µs`.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0.as_micros() {
            0 => "0 s".to_owned(),
            micros @ ..1_000 => format!("{micros} µs"),
            micros @ ..1_000_000 => format!("{} ms", micros / 1_000),
            _ => format!("{:.2} s", self.0.as_secs_f64()),
        };
        f.pad(&text)
    }
}
