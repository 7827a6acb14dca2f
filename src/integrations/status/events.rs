//! The latest events of the host, as text.

use crate::report::{Event, EventKind};
use crate::stop::StopToken;
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::sync::{Arc, Mutex, now};
use crossbeam_channel::Receiver;
use log::Level;
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

/// How many events the page shows.
const KEPT: usize = 200;

#[derive(Default)]
pub(super) struct Events(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    rows: VecDeque<Arc<EventRow>>,
    /// How many events there were.
    count: u64,
    start_took: Option<Duration>,
    stop_began: Option<Instant>,
}

pub(super) struct EventRow {
    /// Counts from 1.
    pub(super) number: u64,
    pub(super) at: SystemTime,
    pub(super) level: Level,
    pub(super) service: Option<Arc<str>>,
    pub(super) text: String,
}

impl Events {
    /// Collects events until the stop.
    pub(super) fn collect(&self, events: &Receiver<Event>, token: &StopToken) {
        while let Ok(event) = token.recv(events) {
            self.add(event);
        }
    }

    fn add(&self, event: Event) {
        // With no lock held: an event may carry an error of the user, whose `Drop` is user code.
        let text = catch_panic(|| event.to_string()).unwrap_or_else(|text| format!("(event without text: {text})"));
        let (at, level, service) = (event.at, event.level(), event.service.clone());
        let (start_took, stops) = match event.kind {
            EventKind::HostStarted { took } if service.is_none() => (Some(took), false),
            EventKind::HostStopping { .. } => (None, service.is_none()),
            _ => (None, false),
        };
        _ = drop_catching_panic(event); // the panic hook has reported it
        let mut kept = self.0.lock();
        kept.count += 1;
        kept.start_took = kept.start_took.or(start_took);
        kept.stop_began = kept.stop_began.or(stops.then(now));
        let number = kept.count;
        kept.rows.push_back(Arc::new(EventRow { number, at, level, service, text }));
        if kept.rows.len() > KEPT {
            kept.rows.pop_front();
        }
    }

    /// The latest events, the newest first.
    pub(super) fn latest(&self) -> Vec<Arc<EventRow>> {
        self.0.lock().rows.iter().rev().cloned().collect()
    }

    /// How long the start of the host took. Returns `None` until the host has started.
    pub(super) fn start_took(&self) -> Option<Duration> {
        self.0.lock().start_took
    }

    /// When the host began to stop. Returns `None` until then.
    pub(super) fn stop_began(&self) -> Option<Instant> {
        self.0.lock().stop_began
    }
}
