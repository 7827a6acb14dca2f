//! The laws about health: of every service, also of groups' children, and of the drain.

use super::schedule::Schedule;
use hosted::{Event, EventKind, Phase};
use std::collections::BTreeMap;

/// What the events so far said of one service.
#[derive(Default)]
struct Seen<'e> {
    reason: Option<&'e str>,
    is_stalled: bool,
    /// A stall whose end was not told: it recovered, or its run ended.
    open_stalls: i32,
}

/// Fails on the first law that is broken.
pub fn check(schedule: &Schedule, events: &[Event]) {
    let mut services: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
    for event in events {
        let Some(name) = event.service.as_deref() else { continue };
        services.entry(name).or_default().follow(name, &event.kind);
    }
    for (name, seen) in services {
        assert!(!seen.is_stalled, "`{name}` stalled, and neither recovered nor ended");
    }
    drains_once_before_the_stop(schedule, events);
}

impl<'e> Seen<'e> {
    fn follow(&mut self, name: &str, kind: &'e EventKind) {
        match kind {
            // A restart clears what was reported, and so does a group's new child of the same name.
            EventKind::Starting => (self.reason, self.is_stalled) = (None, false),
            EventKind::Degraded { reason } => {
                assert_ne!(self.reason.replace(reason), Some(&**reason), "`{name}` is degraded for the same reason");
            }
            EventKind::Healthy => assert!(self.reason.take().is_some(), "`{name}` was healthy before"),
            EventKind::Stalled(thread) => {
                assert!(!self.is_stalled, "`{name}` stalls twice");
                let blocked = thread.blocked_in.as_deref().unwrap_or_default();
                let in_a_wait = blocked.starts_with("waiting for") || blocked.starts_with("sleeping,");
                assert!(!in_a_wait && thread.phase == Phase::Run, "`{name}` is stalled inside a wait: {thread}");
                (self.is_stalled, self.open_stalls) = (true, self.open_stalls + 1);
            }
            // A run that has failed may be called recovered in the moment before it is over for the registry.
            EventKind::Recovered => {
                (self.is_stalled, self.open_stalls) = (false, self.open_stalls - 1);
                assert!(self.open_stalls >= 0, "`{name}` recovers without a stall");
            }
            EventKind::Failed(error) if error.phase() == Phase::Callback => {}
            EventKind::Restarting { .. }
            | EventKind::Failed(_)
            | EventKind::Stopped
            | EventKind::NotRestarted(_)
            | EventKind::Completed => self.is_stalled = false,
            _ => {}
        }
    }
}

/// The host drains at most once, if it has a drain, and before it stops its services.
fn drains_once_before_the_stop(schedule: &Schedule, events: &[Event]) {
    let times: Vec<_> = events
        .iter()
        .filter_map(|event| if let EventKind::Draining { time, .. } = event.kind { Some(time) } else { None })
        .collect();
    assert!(times.len() <= 1 && times.iter().all(|time| *time <= schedule.drain), "{times:?}");
    let at = |is: fn(&EventKind) -> bool| events.iter().position(|event| event.service.is_none() && is(&event.kind));
    let drains = at(|kind| matches!(kind, EventKind::Draining { .. }));
    let stops = at(|kind| matches!(kind, EventKind::HostStopping { .. }));
    assert!(drains.is_none() || drains < stops, "a drain after the stop");
}
