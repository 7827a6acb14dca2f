//! Counts what was played, so that a thousand schedules in which nothing happens cannot pass.

use super::drive::Played;
use super::schedule::{ACTS, Act, DRIVES, Schedule};
use super::world::{Note, Step};
use hosted::{EventKind, HostError, Report};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

#[derive(Default)]
pub struct Totals {
    counts: BTreeMap<&'static str, u64>,
    seen: BTreeSet<String>,
}

impl Totals {
    pub fn add(&mut self, schedule: &Schedule, performed: &[Act], notes: &[Note], played: &Played) {
        self.count("schedules");
        self.seen.insert(format!("{:?}", schedule.drive));
        self.seen.extend(performed.iter().map(|act| format!("{act:?}")));
        notes.iter().filter_map(of_step).for_each(|what| self.count(what));
        played.events.iter().filter_map(|event| of_event(&event.kind)).for_each(|what| self.count(what));
        played.drained.iter().for_each(|_| self.count("drained"));
        match &played.end {
            None => self.count("hosts dropped"),
            Some(Ok(Report { .. })) => self.count("hosts that stopped without a failure"),
            Some(Err(HostError { .. })) => self.count("hosts that failed"),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// Asserts that every action was performed, every drive was taken, and services had every outcome.
    pub fn are_worth_it(&self) {
        let ends = [
            "restarts",
            "hung",
            "exceeded stop timeout",
            "failed for good",
            "stopped",
            "not restarted",
            "completed",
            "drained",
        ];
        let missing: Vec<_> = ends.into_iter().filter(|what| !self.counts.contains_key(what)).collect();
        assert!(missing.is_empty(), "never seen: {missing:?}");
        let (acts, drives) = (ACTS.map(|act| format!("{act:?}")), DRIVES.map(|drive| format!("{drive:?}")));
        assert_eq!(self.seen, acts.into_iter().chain(drives).collect());
    }

    /// A stop that returns only with its next progress line has noticed an exit too late. A busy machine causes a few
    /// of these lines.
    pub fn in_time(&self) {
        let waited = self.counts.get("waited for").copied().unwrap_or(0);
        assert!(waited < 20 + self.counts["schedules"] / 10, "too many exits are noticed late: {self}");
    }
}

fn of_step(note: &Note) -> Option<&'static str> {
    Some(match note.step {
        Step::Start => "starts",
        Step::Run => "runs",
        Step::Stop => "stops",
        Step::Failed(_) => "failures",
        Step::Unresponsive => "stuck forever",
        _ => return None,
    })
}

fn of_event(kind: &EventKind) -> Option<&'static str> {
    Some(match kind {
        EventKind::Restarting { .. } => "restarts",
        EventKind::Hung(_) => "hung",
        EventKind::StopTimedOut { .. } => "exceeded stop timeout",
        EventKind::Failed(_) => "failed for good",
        EventKind::Stopped => "stopped",
        EventKind::NotRestarted(_) => "not restarted",
        EventKind::Completed => "completed",
        EventKind::StillStarting { .. } | EventKind::StillStopping { .. } => "waited for",
        _ => return None,
    })
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        self.counts.iter().try_for_each(|(what, n)| write!(f, "{}{what} {n}", std::mem::replace(&mut comma, ", ")))
    }
}
