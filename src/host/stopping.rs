//! The stop: each service receives its stop request when those that came after it have ended, or have had their time.
//!
//! Asked with the time R left, a service holds the others up for at most R / 2, and for at most its own stop timeout.
//! So of any number of unresponsive services each next is asked in half of what the one before left, and when hardly any
//! time is left (`lead`) everyone is asked: always before the deadline, however many are unresponsive.
//!
//! A group's host has two instants from its parent: the deadline that everything in the group is told, and the end until which
//! the outermost host waits. So the margin between the two is taken once, however deep groups are nested.

use super::Host;
use super::asking::{Waiting, ask};
use super::budget::{FROZEN, LAST_MOMENT, LATER, lead, margin};
use super::inspection::Inspection;
use super::last_resort::LastResort;
use super::overtaking::Overtaking;
use super::plan::Entry;
use super::reaper::Reapers;
use super::reminder::Reminder;
use super::starting::who;
use crate::blocked::View;
use crate::board::{Board, Slot, StopBy};
use crate::event::EventKind;
use crate::status::{HostState, StopReason};
use crate::stop::{elsewhere, timer};
use crate::sync::{Arc, deadline, left, now, since};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long threads that have ended may take to be joined beyond the deadline. They need microseconds; a thread-local
/// destructor may need forever.
const JOINING: Duration = Duration::from_millis(60);

/// Stops every service that was started, within `timeout`. Who is alive then is hung, by the board.
///
/// Whom it waits for is logged now and then, unless `quiet`: of a group that has been given up on.
pub(super) fn stop_all(host: &mut Host, timeout: Duration, quiet: bool) {
    let Host { board, entries, reapers, .. } = host;
    let (callbacks, by) = board.update(|inner| {
        let callbacks = inner.stop_for(StopReason::Requested);
        inner.host = HostState::Stopping;
        if inner.stop_began.is_none() {
            inner.stop_began = Some(now());
            let reason = inner.reason.clone().unwrap_or(StopReason::Requested);
            inner.say(None, EventKind::HostStopping { reason });
        }
        (callbacks, inner.stop_by)
    });
    callbacks.run_elsewhere();
    let mut stopping = Stopping::new(board, entries, reapers, timeout);
    if quiet {
        stopping.reminder = Reminder::never();
    }
    if let Some(by) = by.filter(|by| stopping.is_sooner(by)) {
        stopping.sooner(by);
    }
    stopping.run();
}

struct Stopping<'h> {
    board: &'h Arc<Board>,
    entries: &'h mut [Entry],
    reapers: &'h mut Reapers,
    /// Before it everyone is asked.
    deadline: Option<Instant>,
    /// Until then the stop waits for those that are left. Of the outermost host, the deadline.
    end: Option<Instant>,
    /// The time that there is until the deadline, from the beginning.
    total: Duration,
    /// It is the stop of a group, and the time is its parent's.
    is_inner: bool,
    /// It was frozen beyond its end, and has more time for that.
    thawed: bool,
    /// How many that came after it still hold each one up.
    blockers: Vec<usize>,
    asked: Vec<bool>,
    unasked: usize,
    /// No longer holding anyone up.
    cleared: Vec<bool>,
    /// Until when those that were asked hold others up.
    holds: BTreeSet<(Instant, usize)>,
    /// From the moment on that somebody who is alive no longer holds up others.
    overtaking: Option<Overtaking>,
    /// Of services that have been asked: they run once everyone has been flagged whose turn it is.
    callbacks: Vec<Waiting>,
    last_resort: LastResort,
    inspection: Inspection,
    /// When to log next whom the stop waits for.
    reminder: Reminder,
    view: View,
}

enum Seen {
    Ended(Vec<usize>),
    Deadline(StopBy),
    AllGone,
}

impl<'h> Stopping<'h> {
    fn new(board: &'h Arc<Board>, entries: &'h mut [Entry], reapers: &'h mut Reapers, timeout: Duration) -> Self {
        let mut blockers = vec![0; entries.len()];
        for entry in entries.iter() {
            entry.after.iter().for_each(|&before| blockers[before] += 1);
        }
        let end = deadline(timeout);
        Stopping {
            board,
            deadline: end,
            end,
            total: timeout,
            is_inner: false,
            thawed: false,
            blockers,
            asked: vec![false; entries.len()],
            unasked: entries.len(),
            cleared: vec![false; entries.len()],
            holds: BTreeSet::new(),
            overtaking: None,
            callbacks: Vec::new(),
            last_resort: LastResort::new(end, entries),
            inspection: Inspection::new(end),
            reminder: Reminder::new(now()),
            view: View::new(),
            entries,
            reapers,
        }
    }

    fn run(mut self) {
        let began = now();
        self.begin();
        loop {
            self.grant_a_last_moment();
            // First, as it takes a while: who is asked next has the time that is told, and everyone is.
            #[cfg(feature = "disconnect")]
            self.last_resort.look(self.board, self.entries, self.deadline);
            self.expire_holds();
            self.hurry();
            self.reapers.look();
            if self.unasked == 0 {
                self.inspection.step(self.board, self.end);
            }
            self.grant_a_last_moment(); // again: what is above may have been frozen
            if left(self.end).is_zero() {
                break;
            }
            if self.reminder.is_due(now()) {
                let waited_for = |slot: &Slot| !slot.gone() && (slot.asked.is_some() || slot.ended.is_some());
                let services = who(self.board, &mut self.view, waited_for);
                self.board.say(None, EventKind::StillStopping { waited: since(began), services });
            }
            match self.wait() {
                Some(Seen::Ended(places)) => places.into_iter().for_each(|place| self.ended(place)),
                Some(Seen::Deadline(by)) => self.sooner(by),
                Some(Seen::AllGone) => break,
                None => {}
            }
        }
        self.call_back();
        self.finish();
    }

    fn is_sooner(&self, by: &StopBy) -> bool {
        let before = |own: Option<Instant>| own.is_none_or(|own| by.deadline < own);
        let end = by.end.and_then(|end| end.checked_add(LATER));
        before(self.deadline) || end.is_some_and(|end| self.end.is_none_or(|own| end < own))
    }

    /// There is less time than there was: whoever has been asked is told, and holds others up for less.
    fn sooner(&mut self, by: StopBy) {
        self.deadline = self.deadline.into_iter().chain([by.deadline]).min();
        self.end = self.end.into_iter().chain(by.end.and_then(|end| end.checked_add(LATER))).min();
        self.total = left(self.deadline);
        self.is_inner = true;
        self.inspection = Inspection::none();
        self.retime();
    }

    /// Passes the deadline, which has changed, on to those that have been asked.
    fn retime(&mut self) {
        self.last_resort = LastResort::new(self.deadline, self.entries);
        let half = now() + left(self.deadline) / 2;
        self.holds =
            std::mem::take(&mut self.holds).into_iter().map(|(until, place)| (until.min(half), place)).collect();
        for place in 0..self.entries.len() {
            if self.asked[place] && !self.is_over(place) {
                let limit = self.limit(place, now());
                self.board.asked(place, limit, self.end_of_all());
            }
        }
    }

    /// A stop that was frozen beyond its end, with its services, has a moment for those that could not do anything meanwhile.
    fn grant_a_last_moment(&mut self) {
        let frozen = if self.is_inner { Duration::ZERO } else { FROZEN };
        // A stop without any time waits for nobody, also when it takes a while to ask.
        if self.thawed
            || self.total.is_zero()
            || self.end.is_none_or(|end| left(Some(end)) > Duration::ZERO || since(end) < frozen)
        {
            return;
        }
        self.thawed = true;
        // Of a group, whether it was frozen is for the outermost host to say.
        self.end = deadline(if self.is_inner { LAST_MOMENT + LATER } else { LAST_MOMENT });
        if !self.is_inner {
            self.deadline = self.end;
            self.retime();
        }
    }

    /// Until when the outermost host waits.
    fn end_of_all(&self) -> Option<Instant> {
        if self.is_inner { self.end.and_then(|end| end.checked_sub(LATER)) } else { self.end }
    }

    /// By when this one should have ended, asked now. One that may be disconnected is then.
    fn limit(&mut self, place: usize, now: Instant) -> Option<Instant> {
        let options = &self.entries[place].options;
        let own = options.stop_timeout.unwrap_or(Duration::MAX);
        if options.disconnects {
            let limit = now.checked_add(own.min(self.last_resort.time(now, self.deadline)));
            self.last_resort.note(place, limit);
            return limit;
        }
        let own = now.checked_add(own);
        if self.is_inner {
            // The deadline of a group has the margin of its parent.
            return own.into_iter().chain(self.deadline).min();
        }
        let left = left(self.deadline);
        own.into_iter().chain(now.checked_add(left - margin(left))).min()
    }

    /// Asks those that nobody came after.
    fn begin(&mut self) {
        let over: Vec<usize> = self.board.update(|inner| {
            inner.ended.clear();
            let ended = |place: &usize| inner.slots[*place].ended.is_some();
            (0..self.entries.len()).filter(ended).collect()
        });
        over.into_iter().for_each(|place| self.reap(place));
        // Taken from the back: in order of registration, as they fell asleep. A kernel's list of ten thousand sleepers
        // is searched from its front.
        let last = (0..self.entries.len()).rev().filter(|&place| self.blockers[place] == 0).collect();
        self.ask_in_turn(last);
        self.call_back();
    }

    /// Runs the callbacks of those that have been asked.
    fn call_back(&mut self) {
        std::mem::take(&mut self.callbacks).into_iter().for_each(Waiting::schedule);
    }

    /// Asks these, and as far as one has ended already, those before it.
    fn ask_in_turn(&mut self, mut turn: Vec<usize>) {
        while let Some(place) = turn.pop() {
            if std::mem::replace(&mut self.asked[place], true) {
                continue;
            }
            self.unasked -= 1;
            if self.is_over(place) {
                self.clear(place, &mut turn);
            } else {
                self.ask(place);
            }
        }
    }

    fn ask(&mut self, place: usize) {
        self.overtaking.iter_mut().for_each(|overtaking| overtaking.pass_by(self.board, place));
        let (now, left) = (now(), left(self.deadline));
        let limit = self.limit(place, now);
        let entry = &self.entries[place];
        self.callbacks.extend(ask(self.board, place, entry, limit, self.end_of_all()));
        let own = entry.options.stop_timeout;
        let hold = own.unwrap_or(Duration::MAX).min(left / 2);
        if let (false, Some(until)) = (entry.after.is_empty(), now.checked_add(hold)) {
            self.holds.insert((until, place));
        }
    }

    /// It holds nobody up any more: whoever was held up by it alone is next.
    fn clear(&mut self, place: usize, turn: &mut Vec<usize>) {
        if std::mem::replace(&mut self.cleared[place], true) {
            return;
        }
        for &before in &self.entries[place].after {
            self.blockers[before] -= 1;
            if self.blockers[before] == 0 {
                turn.push(before);
            }
        }
    }

    fn ended(&mut self, place: usize) {
        self.reap(place);
        if self.asked[place] {
            self.let_go(place);
        } // else it is cleared when its turn comes: those after it are still there
    }

    fn let_go(&mut self, place: usize) {
        let mut turn = Vec::new();
        self.clear(place, &mut turn);
        self.ask_in_turn(turn);
    }

    fn expire_holds(&mut self) {
        let now = now();
        while let Some(&(until, place)) = self.holds.first().filter(|hold| hold.0 <= now) {
            self.holds.remove(&(until, place));
            self.lose_patience();
            self.let_go(place);
        }
    }

    /// From now on somebody may be alive when what it depends on is asked.
    fn lose_patience(&mut self) {
        self.overtaking.get_or_insert_with(|| Overtaking::new(self.entries));
    }

    /// Asks everyone, when there is no time left for an order.
    fn hurry(&mut self) {
        if self.unasked == 0 || left(self.deadline) > lead(self.unasked, self.total) {
            return;
        }
        self.lose_patience();
        while let Some((_, place)) = self.holds.pop_first() {
            self.let_go(place); // which may ask others, who hold on in turn
        }
        for place in (0..self.entries.len()).rev() {
            self.ask_in_turn(vec![place]);
        }
    }

    fn wait(&mut self) -> Option<Seen> {
        self.call_back();
        let hurry =
            self.deadline.filter(|_| self.unasked > 0).and_then(|at| at.checked_sub(lead(self.unasked, self.total)));
        // Where the operating system has no thread to give, this one keeps the time for others meanwhile.
        let for_others = [timer::tend(), elsewhere::tend()];
        let inspection = self.inspection.next().filter(|_| self.unasked == 0);
        let own = [self.holds.first().map(|hold| hold.0), hurry, self.last_resort.next(), inspection];
        let look = [self.end, self.reminder.next(), self.reapers.next_look()];
        let until = own.into_iter().chain(look).chain(for_others).flatten().min();
        self.board.wait_for(until, |inner| {
            let sooner = inner.stop_by.filter(|by| self.is_sooner(by));
            if !inner.ended.is_empty() {
                Some(Seen::Ended(std::mem::take(&mut inner.ended)))
            } else if inner.outstanding == 0 {
                Some(Seen::AllGone)
            } else {
                sooner.map(Seen::Deadline)
            }
        })
    }

    /// Never started, or ended.
    fn is_over(&self, place: usize) -> bool {
        self.board.read(|inner| inner.slots[place].is_over())
    }

    fn reap(&mut self, place: usize) {
        if let Some(thread) = self.entries[place].thread.take() {
            self.reapers.take(place, thread);
        }
    }

    fn finish(mut self) {
        self.join_the_dead();
        self.inspection.hang_those_left(self.board);
        self.board.update(|inner| {
            let (now, hung) = (now(), inner.hung());
            inner.stop_ended = Some(now);
            inner.host = HostState::Stopped;
            let took = inner.stop_began.map_or(Duration::ZERO, |began| now - began);
            inner.say(None, EventKind::HostStopped { took, hung });
        });
    }

    /// Waits for threads that have ended already, a little beyond the deadline if need be.
    fn join_the_dead(&mut self) {
        let end = now() + JOINING;
        loop {
            let until = self.reapers.next_look().map_or(end, |look| look.min(end));
            let ended = self.board.wait_for(Some(until), |inner| {
                let ended = std::mem::take(&mut inner.ended);
                (inner.unjoined == 0 || !ended.is_empty()).then_some(ended)
            });
            match ended {
                Some(ended) if ended.is_empty() => return,
                Some(ended) => ended.into_iter().for_each(|place| self.reap(place)),
                None if now() >= end => return,
                None => self.reapers.look(),
            }
        }
    }
}
