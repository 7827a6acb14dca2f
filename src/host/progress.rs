//! The log line of a start or a shutdown that takes long: what it waits for, after 1, 2, 5 and 10 s, then every 10 s.

use crate::diagnose::ProcSnapshot;
use crate::registry::StuckService;
use std::time::{Duration, Instant};

/// A log line names at most this many services, and counts the others.
const MAX_LISTED: usize = 10;

/// The seconds from each line to the next. The last wait repeats.
const WAITS: [u64; 5] = [1, 1, 3, 5, 10];

pub(super) struct Reminder {
    next: Option<Instant>,
    /// How many lines have been logged.
    lines: usize,
}

impl Reminder {
    /// Creates the lines of a start or a shutdown that begins at `began`.
    pub(super) fn new(began: Instant) -> Self {
        Reminder { next: began.checked_add(wait(0)), lines: 0 }
    }

    pub(super) fn never() -> Self {
        Reminder { next: None, lines: 0 }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Returns `true` if a line is due at `now`. The next wait counts from `now`: after a freeze, the lines that were missed
    /// do not come all at once.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        self.lines += 1;
        self.next = now.checked_add(wait(self.lines));
        true
    }
}

/// Describes the services that a start or a shutdown waits for: names, phases, and what the threads are blocked in.
/// `services` returns at most the given number of services, and how many more there are.
pub(super) fn describe_waiting(
    snapshot: &mut ProcSnapshot,
    services: impl FnOnce(usize) -> (Vec<StuckService>, usize),
) -> String {
    let (listed, more) = services(MAX_LISTED);
    snapshot.refresh();
    let mut text = listed.iter().map(|service| service.describe(snapshot)).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}

fn wait(lines: usize) -> Duration {
    Duration::from_secs(WAITS[lines.min(WAITS.len() - 1)])
}

#[cfg(test)]
mod tests {
    use super::Reminder;
    use std::time::{Duration, Instant};

    #[test]
    fn the_lines_come_after_1_2_5_10_s_and_then_every_10_s() {
        let began = Instant::now();
        let mut reminder = Reminder::new(began);
        let mut lines = Vec::new();
        while lines.len() < 7 {
            let next = reminder.next().unwrap();
            assert!(!reminder.is_due(next - Duration::from_nanos(1)));
            assert!(reminder.is_due(next));
            lines.push((next - began).as_secs());
        }
        assert_eq!(lines, [1, 2, 5, 10, 20, 30, 40]);
    }

    #[test]
    fn a_freeze_of_an_hour_is_followed_by_one_line() {
        let began = Instant::now();
        let mut reminder = Reminder::new(began);
        let thawed = began + Duration::from_secs(3_600);
        assert!(reminder.is_due(thawed));
        assert!(!reminder.is_due(thawed));
        assert_eq!(reminder.next(), Some(thawed + Duration::from_secs(1)));
    }

    #[test]
    fn a_quiet_stop_has_no_lines() {
        assert!(!Reminder::never().is_due(Instant::now() + Duration::from_secs(3_600)));
    }
}
