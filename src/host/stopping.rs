//! The stop: each service is asked when those that came after it have ended, or have had their time.
//!
//! Asked with the time R left, a service holds the others up for at most R / 2, and for at most its own stop timeout.
//! So of any number of deaf ones each next is asked in half of what the one before left, and with less than
//! `HURRY` left everyone is asked: always before the deadline, however many are deaf.

use super::Host;
use super::asking::ask;
use super::last_resort::LastResort;
use super::plan::Entry;
use super::reaper::Reapers;
use super::starting::{WORD, who};
use crate::blocked::View;
use crate::board::{Board, CALLBACKS, Slot};
use crate::event::EventKind;
use crate::status::{HostState, StopReason};
use crate::sync::{Arc, deadline, left, now, since};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// With less than this left, all that have not been asked are.
const HURRY: Duration = Duration::from_millis(10);

/// How long threads that have ended may take to be joined beyond the deadline. They need microseconds; a thread-local
/// destructor may need for ever.
const JOINING: Duration = Duration::from_millis(250);

/// A service is told to be done a little before the host gives up on it: 5 % of its time, at least this.
const MARGIN: Duration = Duration::from_millis(20);

/// Stops every service that was started, within `timeout`. Who is alive then is hung, by the board.
///
/// Who it waits for is said every second, unless `quiet`: of a group that has been given up on.
pub(super) fn stop_all(host: &mut Host, timeout: Duration, quiet: bool) {
    let Host { board, entries, reapers, .. } = host;
    let callbacks = board.update(|inner| {
        let callbacks = inner.stop_for(StopReason::Requested);
        inner.host = HostState::Stopping;
        if inner.stop_began.is_none() {
            inner.stop_began = Some(now());
            let reason = inner.reason.clone().unwrap_or(StopReason::Requested);
            inner.say(None, EventKind::HostStopping { reason });
        }
        callbacks
    });
    callbacks.run_elsewhere(CALLBACKS);
    let mut blockers = vec![0; entries.len()];
    for entry in entries.iter() {
        entry.after.iter().for_each(|&before| blockers[before] += 1);
    }
    let (asked, cleared) = (vec![false; entries.len()], vec![false; entries.len()]);
    let word = (!quiet).then(|| now() + WORD);
    let (deadline, unasked) = (deadline(timeout), entries.len());
    let (holds, last_resort, view) = (BTreeSet::new(), LastResort::new(deadline), View::new());
    Stopping { board, entries, reapers, deadline, blockers, asked, unasked, cleared, holds, last_resort, word, view }
        .run();
}

struct Stopping<'h> {
    board: &'h Arc<Board>,
    entries: &'h mut [Entry],
    reapers: &'h mut Reapers,
    deadline: Option<Instant>,
    /// How many that came after it still hold each one up.
    blockers: Vec<usize>,
    asked: Vec<bool>,
    unasked: usize,
    /// No longer holding anyone up.
    cleared: Vec<bool>,
    /// Until when those that were asked hold others up.
    holds: BTreeSet<(Instant, usize)>,
    last_resort: LastResort,
    /// When to say next whom the stop waits for.
    word: Option<Instant>,
    view: View,
}

enum Seen {
    Ended(Vec<usize>),
    Deadline(Instant),
    AllGone,
}

impl Stopping<'_> {
    fn run(mut self) {
        let began = now();
        self.begin();
        loop {
            // First, as it takes a while: who is asked next has the time that is told, and everyone is.
            #[cfg(feature = "disconnect")]
            self.last_resort.look(self.board, self.entries, self.deadline);
            self.expire_holds();
            self.hurry();
            self.reapers.look();
            if left(self.deadline).is_zero() {
                break;
            }
            if let Some(word) = self.word.filter(|&word| word <= now()) {
                self.word = Some(word + WORD);
                let waited_for = |slot: &Slot| !slot.gone() && (slot.asked.is_some() || slot.ended.is_some());
                let services = who(self.board, &mut self.view, waited_for);
                self.board.say(None, EventKind::StillStopping { waited: since(began), services });
            }
            match self.wait() {
                Some(Seen::Ended(places)) => places.into_iter().for_each(|place| self.ended(place)),
                Some(Seen::Deadline(at)) => self.sooner(at),
                Some(Seen::AllGone) => break,
                None => {}
            }
        }
        self.finish();
    }

    /// There is less time than there was: whoever has been asked is told, and holds others up for less.
    fn sooner(&mut self, at: Instant) {
        self.deadline = Some(at);
        self.last_resort = LastResort::new(self.deadline);
        let half = now() + left(self.deadline) / 2;
        self.holds =
            std::mem::take(&mut self.holds).into_iter().map(|(until, place)| (until.min(half), place)).collect();
        for place in 0..self.entries.len() {
            if self.asked[place] && !self.is_over(place) {
                let limit = self.limit(place, now());
                // Without callbacks: it has been asked before.
                _ = self.board.asked(place, limit);
            }
        }
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
        let left = left(self.deadline);
        now.checked_add(own.min(left.saturating_sub(MARGIN.max(left / 20))))
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
    }

    /// Asks these, and as far as one has ended already, those before it.
    fn ask_in_turn(&mut self, mut turn: Vec<usize>) {
        while let Some(place) = turn.pop() {
            if std::mem::replace(&mut self.asked[place], true) {
                continue;
            }
            self.unasked -= 1;
            if self.is_over(place) {
                self.board.retire(place); // where it was never started
                self.clear(place, &mut turn);
            } else {
                self.ask(place);
            }
        }
    }

    fn ask(&mut self, place: usize) {
        let (now, left) = (now(), left(self.deadline));
        let limit = self.limit(place, now);
        let entry = &self.entries[place];
        ask(self.board, place, entry, limit);
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
            self.overtake(place);
        }
    }

    fn overtake(&mut self, place: usize) {
        if !self.cleared[place] {
            self.board.overtaken(place);
        }
        self.let_go(place);
    }

    /// Asks everyone, when there is no time left for an order.
    fn hurry(&mut self) {
        if self.unasked == 0 || left(self.deadline) > HURRY {
            return;
        }
        while let Some((_, place)) = self.holds.pop_first() {
            self.overtake(place); // which may ask others, who hold on in turn
        }
        for place in (0..self.entries.len()).rev() {
            self.ask_in_turn(vec![place]);
        }
    }

    fn wait(&mut self) -> Option<Seen> {
        let hurry = self.deadline.filter(|_| self.unasked > 0).and_then(|at| at.checked_sub(HURRY));
        let look = [self.holds.first().map(|hold| hold.0), hurry, self.last_resort.next(), self.deadline, self.word];
        let until = look.into_iter().flatten().chain(self.reapers.next_look()).min();
        let deadline = self.deadline;
        self.board.wait_for(until, |inner| {
            let sooner = inner.stop_by.filter(|&at| deadline.is_none_or(|deadline| at < deadline));
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
        self.board.read(|inner| inner.slots[place].launched.is_none() || inner.slots[place].ended.is_some())
    }

    fn reap(&mut self, place: usize) {
        if let Some(thread) = self.entries[place].thread.take() {
            self.reapers.take(place, thread);
        }
    }

    fn finish(mut self) {
        self.join_the_dead();
        self.view.again();
        self.board.hang_those_left(&self.view);
        self.board.update(|inner| {
            let (now, hung) = (now(), inner.hung());
            inner.stop_ended = Some(now);
            inner.host = HostState::Stopped;
            inner.let_go_of_those_that_left();
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
