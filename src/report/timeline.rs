//! The picture of a report: one row per service, with a bar that shows when it was stopping.

use super::outcome::{BlockedThread, Outcome};
use super::service_report::{Report, ServiceReport};
use crate::util::text::{Escaped, HumanDuration, columns};
use std::fmt;
use std::time::Duration;

/// How many characters a bar of the timeline has at most.
const WIDTH: u32 = 40;

/// A name longer than this sticks out of its column, instead of making all the others as long; nor can the standard
/// library pad to more than 65,535.
const LONG: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{}: ", Escaped(host))?;
        }
        write!(f, "stopped in {}: {}", HumanDuration(self.took), self.reason)?;
        let names: Vec<String> = self.services.iter().map(|service| Escaped(&service.name).to_string()).collect();
        let width = names.iter().map(|name| columns(name)).max().unwrap_or(0).min(LONG);
        for (service, name) in self.services.iter().zip(names) {
            let pad = width.saturating_sub(columns(&name));
            let row = format!("{name}{:pad$}  {:13}{}", "", service.outcome.word(), service.details(self.took));
            write!(f, "\n  {}", row.trim_end())?;
        }
        Ok(())
    }
}

impl ServiceReport {
    /// What there is to say beyond the outcome.
    fn details(&self, whole: Duration) -> String {
        let mut text = String::new();
        if let Some(asked_after) = self.asked_after {
            let bar = bar(asked_after, self.stop_took, whole);
            text += &format!("  |{bar}| {}", HumanDuration(self.stop_took));
        }
        if self.stop_timed_out {
            text += "  overtaken";
        }
        for BlockedThread { blocked_in, .. } in &self.disconnected {
            text += &format!("  disconnected from: {}", Escaped(blocked_in.as_deref().unwrap_or("its socket")));
        }
        if self.restarts > 0 {
            text += &format!("  restarts: {}", self.restarts);
        }
        if self.errors > 0 {
            text += &format!("  errors: {}", self.errors);
        }
        match &self.outcome {
            Outcome::Hung(hung) => text += &format!("  {hung}"),
            Outcome::NotRestarted(error) => text += &format!("  was waiting to be restarted after: {error}"),
            _ => {}
        }
        text
    }
}

/// From when to when, of the whole: at least one mark, and never beyond the end.
fn bar(from: Duration, took: Duration, whole: Duration) -> String {
    let place = |at: Duration| {
        let share = if whole.is_zero() { 0.0 } else { at.as_secs_f64() / whole.as_secs_f64() };
        ((share * f64::from(WIDTH)).round() as usize).min(WIDTH as usize)
    };
    let begin = place(from).min(WIDTH as usize - 1);
    let end = place(from + took).max(begin + 1);
    format!("{}{}{}", " ".repeat(begin), "#".repeat(end - begin), " ".repeat(WIDTH as usize - end))
}
