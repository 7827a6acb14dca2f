//! The start: each service when those it comes after are ready.

use super::Host;
use super::progress::Reminder;
use super::stop_request::{Waiting, ask};
use super::supervisor::supervise;
use super::validate::SetupError;
use crate::diagnose::ProcSnapshot;
use crate::registry::{HostHandle, Inner, Registry, ServiceRecord, StartLimit, StuckService};
use crate::report::{EventKind, ServiceState};
use crate::service::Context;
use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, now, thread};
use crate::util::text::Escaped;
use crate::util::time::{deadline, since};
use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

/// Why a start was not finished.
pub(super) enum Aborted {
    /// The board has a reason to stop.
    Stopped,
    Setup(SetupError),
}

/// Starts every service. On `Err` nothing more starts; what has started is the caller's to stop.
pub(super) fn start_all(host: &mut Host) -> Result<(), Aborted> {
    let began = now();
    let of_host = |limit| Some(StartLimit { at: deadline(limit)?, limit, of_host: true });
    let of_host = host.start_timeout.and_then(of_host);
    let mut dependents = vec![Vec::new(); host.entries.len()];
    for (place, entry) in host.entries.iter().enumerate() {
        entry.after.iter().for_each(|&before| dependents[before].push(place));
    }
    let blockers = host.entries.iter().map(|entry| entry.after.len()).collect();
    let (limits, reminder, view) = (BTreeSet::new(), Reminder::new(began), ProcSnapshot::new());
    Startup { host, began, of_host, dependents, blockers, limits, reminder, view }.run()
}

struct Startup<'h> {
    host: &'h mut Host,
    began: Instant,
    /// How long the whole start may take.
    of_host: Option<StartLimit>,
    /// Who waits for each. Taken when it is ready.
    dependents: Vec<Vec<usize>>,
    /// How many each still waits for.
    blockers: Vec<usize>,
    /// When to look whether one that was launched is late.
    limits: BTreeSet<(Instant, usize)>,
    /// When to log next whom the start waits for.
    reminder: Reminder,
    view: ProcSnapshot,
}

enum StartupEvent {
    Started,
    Reason,
    /// These are ready, or have failed and are ignored.
    Settled(Vec<usize>),
}

impl Startup<'_> {
    fn run(mut self) -> Result<(), Aborted> {
        let first: Vec<usize> = (0..self.blockers.len()).filter(|&place| self.blockers[place] == 0).collect();
        first.into_iter().try_for_each(|place| self.launch(place))?;
        loop {
            let limit = self.limits.first().map(|limit| limit.0);
            match self.host.board.wait_for(limit.into_iter().chain(self.reminder.next()).min(), look) {
                Some(StartupEvent::Started) => return Ok(()),
                Some(StartupEvent::Reason) => return Err(Aborted::Stopped),
                Some(StartupEvent::Settled(places)) => places.into_iter().try_for_each(|place| self.settled(place))?,
                None => {}
            }
            self.check_limits();
            self.say_who();
        }
    }

    fn launch(&mut self, place: usize) -> Result<(), Aborted> {
        let own = |limit| Some(StartLimit { at: deadline(limit)?, limit, of_host: false });
        let own = self.host.entries[place].options.start_timeout.and_then(own);
        let limit = own.into_iter().chain(self.of_host).min_by_key(|limit| limit.at);
        self.limits.extend(limit.map(|limit| (limit.at, place)));
        spawn(self.host, place, limit).map_err(Aborted::Setup)
    }

    /// Those that waited only for this one start.
    fn settled(&mut self, place: usize) -> Result<(), Aborted> {
        for dependent in std::mem::take(&mut self.dependents[place]) {
            self.blockers[dependent] -= 1;
            if self.blockers[dependent] == 0 {
                self.launch(dependent)?;
            }
        }
        Ok(())
    }

    /// Who is late is asked to stop. What follows from it stands on the board.
    fn check_limits(&mut self) {
        while let Some(&(at, place)) = self.limits.first().filter(|limit| limit.0 <= now()) {
            self.limits.remove(&(at, place));
            if self.host.board.is_late(place) {
                let callbacks = ask(&self.host.board, place, &self.host.entries[place], None, None);
                callbacks.into_iter().for_each(Waiting::schedule);
            }
        }
    }

    fn say_who(&mut self) {
        if !self.reminder.is_due(now()) {
            return;
        }
        let waited_for = |slot: &ServiceRecord| matches!(slot.state, ServiceState::Starting | ServiceState::Restarting);
        let services = who(&self.host.board, &mut self.view, waited_for);
        self.host.board.say(None, EventKind::StillStarting { waited: since(self.began), services });
    }
}

fn look(inner: &mut Inner) -> Option<StartupEvent> {
    match (inner.has_started, &inner.reason, inner.settled.is_empty()) {
        (true, _, _) => Some(StartupEvent::Started),
        (false, Some(_), _) => Some(StartupEvent::Reason),
        (false, None, true) => None,
        (false, None, false) => Some(StartupEvent::Settled(std::mem::take(&mut inner.settled))),
    }
}

/// Gives a service its thread.
fn spawn(host: &mut Host, place: usize, limit: Option<StartLimit>) -> Result<(), SetupError> {
    let (board, entry) = (&host.board, &mut host.entries[place]);
    let Some(name) = board.launching(place, entry.options.policy(), limit) else { return Ok(()) };
    // There is one until the host starts, and a host starts once.
    let Some(service) = entry.service.take() else { return Ok(()) };
    let token = entry.source.token();
    let ctx = Context::for_service(name.clone(), token, host.clock.clone(), HostHandle::new(board.clone()), place);
    let restart = entry.options.restart.clone();
    let mut builder = thread::Builder::new().name(Escaped(&name).to_string());
    if let Some(bytes) = entry.options.stack_size {
        builder = builder.stack_size(bytes);
    }
    // Guarded: where there is no thread, the service is dropped here, and its Drop is foreign code.
    let spawned = catch_panic(|| builder.spawn(move || supervise(service, ctx, place, restart)));
    match spawned.unwrap_or_else(|text| Err(io::Error::other(text))) {
        Ok(thread) => {
            entry.thread = Some(thread);
            Ok(())
        }
        Err(error) => {
            board.not_launched(place);
            Err(SetupError::NoThread { service: name, error })
        }
    }
}

/// Whom a start or a stop waits for: names, phases and what the threads are blocked in.
pub(super) fn who(
    board: &Arc<Registry>,
    view: &mut ProcSnapshot,
    waited_for: impl Fn(&ServiceRecord) -> bool,
) -> String {
    /// More than this on a line nobody reads; the others are counted.
    const NAMED: usize = 10;
    let (named, more) = board.read(|inner| {
        let mut slots = inner.slots.iter().filter(|slot| waited_for(slot));
        (slots.by_ref().take(NAMED).map(ServiceRecord::remains).collect::<Vec<StuckService>>(), slots.count())
    });
    view.refresh();
    let mut text = named.iter().map(|slot| slot.describe(view)).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text += &format!(" and {more} more");
    }
    text
}
