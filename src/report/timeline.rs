//! The timeline of a report: one row per service, with a bar that shows when the service was stopping.

use super::outcome::{BlockedThread, Outcome};
use super::service_report::{Report, ServiceReport};
use crate::util::text::{Escaped, HumanDuration, columns};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The width of the timeline, in characters.
const BAR_WIDTH: usize = 40;

/// The maximum width of the column of names. A longer name exceeds its column, so that it does not widen every row. The
/// standard library cannot pad to more than 65,535 columns.
const MAX_NAME_COLUMN: usize = 100;

/// A dynamic group with more members than this does not have a line for each.
const MAX_MEMBERS: usize = 10;

/// How many members of such a group have a line because they need attention.
const MAX_ATTENTION: usize = 50;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{}: ", Escaped(host))?;
        }
        write!(f, "stopped in {}: {}", HumanDuration(self.took), self.reason)?;
        let rows = rows(&self.services);
        let name = |row: &Row<'_>| match row {
            Row::Service(service) => Escaped(&service.name).to_string(),
            Row::Omitted { group, .. } => format!("{}/…", Escaped(group)),
        };
        let names: Vec<String> = rows.iter().map(name).collect();
        let width = names.iter().map(|name| columns(name)).max().unwrap_or(0).min(MAX_NAME_COLUMN);
        for (row, name) in rows.iter().zip(names) {
            let pad = width.saturating_sub(columns(&name));
            let rest = match row {
                Row::Service(service) => format!("{:13}{}", service.outcome.label(), service.details(self.took)),
                Row::Omitted { outcomes, .. } => {
                    let counts = outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}"));
                    format!("more members: {}", counts.collect::<Vec<_>>().join(", "))
                }
            };
            let row = format!("{name}{:pad$}  {rest}", "");
            write!(f, "\n  {}", row.trim_end())?;
        }
        Ok(())
    }
}

/// A line of the timeline.
enum Row<'r> {
    Service(&'r ServiceReport),
    /// Members of a dynamic group that have no line: how many ended how.
    Omitted {
        group: &'r str,
        outcomes: BTreeMap<&'static str, usize>,
    },
}

/// Returns the lines of the timeline. A dynamic group with many members has lines for those that need attention, and counts the
/// others. The hung members come first, because they are the first members of their group.
fn rows(services: &[ServiceReport]) -> Vec<Row<'_>> {
    let group = |service: &'_ ServiceReport| service.group_prefix.map(|length| service.name[..length].to_owned());
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    services.iter().filter_map(group).for_each(|group| *members.entry(group).or_default() += 1);
    let mut rows = Vec::new();
    let mut listed = 0;
    for (n, service) in services.iter().enumerate() {
        let Some(length) = service.group_prefix else {
            rows.push(Row::Service(service));
            continue;
        };
        let group = &service.name[..length];
        let is_small = members.get(group).is_none_or(|members| *members <= MAX_MEMBERS);
        let is_first = n == 0 || services[n - 1].group_prefix != Some(length);
        listed = if is_first { 0 } else { listed };
        if is_small || service.needs_attention() && listed < MAX_ATTENTION {
            listed += 1;
            // Before the line of those that are omitted.
            let at = rows.len()
                - usize::from(matches!(rows.last(), Some(Row::Omitted { group: other, .. }) if *other == group));
            rows.insert(at, Row::Service(service));
            continue;
        }
        match rows.last_mut() {
            Some(Row::Omitted { group: other, outcomes }) if *other == group => {
                *outcomes.entry(service.outcome.label()).or_default() += 1;
            }
            _ => rows.push(Row::Omitted { group, outcomes: BTreeMap::from([(service.outcome.label(), 1)]) }),
        }
    }
    rows
}

impl ServiceReport {
    /// Returns `true` if a reader of the report wants to know the name of this member.
    fn needs_attention(&self) -> bool {
        let is_unusual = matches!(self.outcome, Outcome::Hung(_) | Outcome::Failed(_) | Outcome::NotRestarted(_));
        is_unusual || self.stop_timed_out || !self.disconnected.is_empty()
    }

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
        if let Some(members) = &self.members {
            text += &format!("  members ended: {}, failed: {}", members.ended, members.failed);
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
