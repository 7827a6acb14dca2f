//! The start: each service when those it comes after are ready.

use super::Host;
use super::asking::ask;
use super::plan::SetupError;
use crate::board::{Board, HostHandle, Remains, Slot};
use crate::context::Context;
use crate::event::EventKind;
use crate::panic::guarded;
use crate::status::{HostState, State};
use crate::supervise::supervise;
use crate::sync::{Arc, deadline};
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

/// How often a start or a stop that takes long says for whom.
pub(super) const WORD: Duration = Duration::from_secs(1);

/// Why a start was not finished.
pub(super) enum Aborted {
    /// The board has a reason to stop.
    Stopped,
    Setup(SetupError),
}

/// Starts every service. On `Err` nothing more starts; what has started is the caller's to stop.
pub(super) fn start_all(host: &mut Host) -> Result<(), Aborted> {
    let began = Instant::now();
    let services = host.entries.len();
    let limit = host.start_timeout.and_then(|limit| Some((deadline(limit)?, limit)));
    let mut dependents = vec![Vec::new(); services];
    for (place, entry) in host.entries.iter().enumerate() {
        entry.after.iter().for_each(|&before| dependents[before].push(place));
    }
    let blockers = host.entries.iter().map(|entry| entry.after.len()).collect();
    let (settled, unsettled) = (vec![false; services], services);
    let (limits, limit_of, word) = (BTreeSet::new(), vec![None; services], began + WORD);
    Starting { host, began, limit, dependents, blockers, settled, unsettled, limits, limit_of, word }.run()
}

struct Starting<'h> {
    host: &'h mut Host,
    began: Instant,
    /// Until when the whole start may take, and how long that is.
    limit: Option<(Instant, Duration)>,
    dependents: Vec<Vec<usize>>,
    /// How many each still waits for.
    blockers: Vec<usize>,
    /// Ready, or failed and ignored: no longer waited for.
    settled: Vec<bool>,
    unsettled: usize,
    /// The start timeouts of those that are starting, in the order in which they come, and by service.
    limits: BTreeSet<(Instant, usize)>,
    limit_of: Vec<Option<Instant>>,
    /// When to say next whom the start waits for.
    word: Instant,
}

enum Seen {
    Reason,
    News(Vec<usize>),
}

impl Starting<'_> {
    fn run(mut self) -> Result<(), Aborted> {
        for place in 0..self.blockers.len() {
            if self.host.entries[place].after.is_empty() {
                self.launch(place)?;
            }
        }
        while self.unsettled > 0 {
            let look = [self.limits.first().map(|limit| limit.0), self.limit.map(|limit| limit.0), Some(self.word)];
            let until = look.into_iter().flatten().min();
            let seen = self.host.board.wait_for(until, |inner| match (&inner.reason, inner.news.is_empty()) {
                (Some(_), _) => Some(Seen::Reason),
                (None, false) => Some(Seen::News(std::mem::take(&mut inner.news))),
                (None, true) => None,
            });
            match seen {
                Some(Seen::Reason) => return Err(Aborted::Stopped),
                Some(Seen::News(news)) => news.into_iter().try_for_each(|place| self.settle(place))?,
                None => {}
            }
            self.check_limits()?;
            self.say_who();
        }
        self.finish()
    }

    fn launch(&mut self, place: usize) -> Result<(), Aborted> {
        self.limit_of[place] = self.host.entries[place].options.start_timeout.and_then(deadline);
        self.limits.extend(self.limit_of[place].map(|limit| (limit, place)));
        spawn(self.host, place).map_err(Aborted::Setup)
    }

    /// It is ready, or has ended and that does not end the host: those that waited only for it start.
    fn settle(&mut self, place: usize) -> Result<(), Aborted> {
        if std::mem::replace(&mut self.settled[place], true) {
            return Ok(());
        }
        self.unsettled -= 1;
        if let Some(limit) = self.limit_of[place] {
            self.limits.remove(&(limit, place));
        }
        for dependent in std::mem::take(&mut self.dependents[place]) {
            self.blockers[dependent] -= 1;
            if self.blockers[dependent] == 0 {
                self.launch(dependent)?;
            }
        }
        Ok(())
    }

    fn check_limits(&mut self) -> Result<(), Aborted> {
        let now = Instant::now();
        while let Some(&(at, place)) = self.limits.first().filter(|limit| limit.0 <= now) {
            self.limits.remove(&(at, place));
            let options = &self.host.entries[place].options;
            let (limit, ignored) = (options.start_timeout.unwrap_or_default(), options.policy().ignores_failure);
            if self.too_late(place, limit, ignored) && ignored {
                self.settle(place)?;
            }
        }
        let Some((_, limit)) = self.limit.filter(|limit| limit.0 <= now) else { return Ok(()) };
        // The host has no more time: that a service may be ignored gives it none.
        let late = (0..self.settled.len()).filter(|&place| self.too_late(place, limit, false)).count();
        if late > 0 { Err(Aborted::Stopped) } else { Ok(()) }
    }

    /// Its time is up. False: it has made it, just so, or has not begun.
    fn too_late(&self, place: usize, limit: Duration, ignored: bool) -> bool {
        let board = &self.host.board;
        let is_late = board.late(place, limit, ignored);
        if is_late {
            ask(board, place, &self.host.entries[place], None);
        }
        is_late
    }

    fn say_who(&mut self) {
        if Instant::now() < self.word {
            return;
        }
        self.word += WORD;
        let services = who(&self.host.board, |slot| matches!(slot.state, State::Starting | State::Restarting));
        self.host.board.say(None, EventKind::StillStarting { waited: self.began.elapsed(), services });
    }

    fn finish(self) -> Result<(), Aborted> {
        let board = &self.host.board;
        let callbacks = board.update(|inner| {
            if inner.reason.is_some() {
                return Err(Aborted::Stopped);
            }
            inner.host = HostState::Started;
            inner.say(None, EventKind::HostStarted { took: self.began.elapsed() });
            Ok(inner.check_all_completed())
        });
        board.open();
        callbacks.map(|callbacks| callbacks.run_elsewhere("hosted-callbacks"))
    }
}

/// Gives a service its thread.
fn spawn(host: &mut Host, place: usize) -> Result<(), SetupError> {
    let (board, entry) = (&host.board, &mut host.entries[place]);
    // There is one until the host starts, and a host starts once.
    let Some(service) = entry.service.take() else { return Ok(()) };
    let name = board.launching(place, entry.options.policy());
    let token = entry.source.token();
    let ctx = Context::seated(name.clone(), token, host.clock.clone(), HostHandle::new(board.clone()), place);
    let restart = entry.options.restart.clone();
    let mut builder = std::thread::Builder::new().name(name.to_string());
    if let Some(bytes) = entry.options.stack_size {
        builder = builder.stack_size(bytes);
    }
    // Guarded: where there is no thread, the service is dropped here, and its Drop is foreign code.
    let spawned = guarded(|| builder.spawn(move || supervise(service, ctx, place, restart)));
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
pub(super) fn who(board: &Arc<Board>, waited_for: impl Fn(&Slot) -> bool) -> String {
    /// More than this on a line nobody reads; the others are counted.
    const NAMED: usize = 10;
    let slots = board.read(|inner| {
        let slots = inner.slots.iter().filter(|slot| waited_for(slot));
        slots.map(Slot::remains).collect::<Vec<Remains>>()
    });
    let mut text = slots.iter().take(NAMED).map(Remains::describe).collect::<Vec<_>>().join(", ");
    if slots.len() > NAMED {
        text += &format!(" and {} more", slots.len() - NAMED);
    }
    text
}
