//! The timeline of a report: one row per service, with a bar that shows when the service was stopping.

use super::outcome::{BlockedThread, Outcome};
use super::service_report::{Report, ServiceReport};
use crate::util::text::{Escaped, HumanDuration, columns};
use std::fmt;
use std::time::Duration;

/// The width of the timeline, in characters.
const BAR_WIDTH: usize = 40;

/// The maximum width of the column of names. A longer name exceeds its column, so that it does not widen every row. The
/// standard library cannot pad to more than 65,535 columns.
const MAX_NAME_COLUMN: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{}: ", Escaped(host))?;
        }
        write!(f, "stopped in {}: {}", HumanDuration(self.took), self.reason)?;
        let names: Vec<String> = self.services.iter().map(|service| Escaped(&service.name).to_string()).collect();
        let width = names.iter().map(|name| columns(name)).max().unwrap_or(0).min(MAX_NAME_COLUMN);
        for (service, name) in self.services.iter().zip(names) {
            let pad = width.saturating_sub(columns(&name));
            let row = format!("{name}{:pad$}  {:13}{}", "", service.outcome.label(), service.details(self.took));
            write!(f, "\n  {}", row.trim_end())?;
        }
        Ok(())
    }
}

impl ServiceReport {
    /// Returns the part of a row after the outcome. `whole` is the duration of the shutdown.
    fn details(&self, whole: Duration) -> String {
        let mut text = String::new();
        if let Some(requested_after) = self.requested_after {
            let bar = bar(requested_after, self.stop_took, whole);
            text += &format!("  |{bar}| {}", HumanDuration(self.stop_took));
        }
        if self.stop_timed_out {
            text += "  stop timed out";
        }
        for BlockedThread { blocked_in, .. } in &self.disconnected {
            text += &format!("  disconnected from: {}", Escaped(blocked_in.as_deref().unwrap_or("a socket")));
        }
        if self.restarts > 0 {
            text += &format!("  restarts: {}", self.restarts);
        }
        if self.errors > 0 {
            text += &format!("  errors: {}", self.errors);
        }
        match &self.outcome {
            Outcome::Hung(blocked) => text += &format!("  {blocked}"),
            Outcome::NotRestarted(error) => text += &format!("  was waiting to be restarted after: {error}"),
            _ => {}
        }
        text
    }
}

/// Returns a bar from `from` to `from + took` on a scale of `whole`. The bar has at least one mark, and never exceeds the
/// scale.
fn bar(from: Duration, took: Duration, whole: Duration) -> String {
    let column = |at: Duration| {
        let share = if whole.is_zero() { 0.0 } else { at.as_secs_f64() / whole.as_secs_f64() };
        ((share * BAR_WIDTH as f64).round() as usize).min(BAR_WIDTH)
    };
    let begin = column(from).min(BAR_WIDTH - 1);
    let end = column(from + took).max(begin + 1);
    format!("{}{}{}", " ".repeat(begin), "#".repeat(end - begin), " ".repeat(BAR_WIDTH - end))
}
