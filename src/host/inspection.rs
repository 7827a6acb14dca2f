//! What the threads that a stop leaves behind are blocked in. Reading that takes part of a millisecond for each thread, so
//! that of many threads it is read before the deadline, and only of as many as there is time for.

use crate::blocked::View;
use crate::board::Board;
use crate::error::Phase;
use crate::status::HungService;
use crate::sync::{Arc, deadline, left, now};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What one thread takes, roughly.
const EACH: Duration = Duration::from_micros(300);

/// The inspection begins no earlier than so long before the end of a stop.
const BEFORE: Duration = Duration::from_millis(100);

/// After the end of a stop the inspection goes on for so long: enough for some dozen threads, whose state is then of the very
/// end.
const AFTER: Duration = Duration::from_millis(20);

/// A process with so many descriptors has long tables of sockets: to read ten thousand takes 140 ms, and more on a busy
/// machine.
const MANY: usize = 1_000;

/// Long tables are read so long before the end of a stop, if that is a tenth of the stop, or not at all.
const TABLES: Duration = Duration::from_secs(1);

/// Meanwhile the stop does nothing else.
const SLICE: Duration = Duration::from_millis(3);

pub(super) struct Inspection {
    /// When to find out how many threads there are, or to look at the next.
    next: Option<Instant>,
    /// How many there were is known.
    counted: bool,
    /// Whose threads have not been looked at.
    queue: Vec<(Arc<Board>, usize)>,
    /// What has been found, by board and row. The board is kept, so that its address remains its own.
    found: HashMap<(*const Board, usize), Found>,
    view: View,
}

struct Found {
    phase: Phase,
    blocked_in: Option<String>,
    _board: Arc<Board>,
}

impl Inspection {
    /// For a stop that waits until `end`. Before the end it takes a quarter of the time at most.
    pub(super) fn new(end: Option<Instant>) -> Self {
        let next = end.and_then(|end| {
            let left = left(Some(end));
            end.checked_sub(if left / 10 >= TABLES { TABLES } else { BEFORE.min(left / 4) })
        });
        Inspection { next, counted: false, queue: Vec::new(), found: HashMap::new(), view: View::new() }
    }

    /// None before the end: somebody else looks at the threads.
    pub(super) fn none() -> Self {
        Inspection::new(None)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at some threads, if it is time to.
    pub(super) fn step(&mut self, board: &Arc<Board>, end: Option<Instant>) {
        if self.next.is_none_or(|next| now() < next) {
            return;
        }
        if !self.counted {
            self.counted = true;
            self.queue = board.remaining().into_iter().map(|(board, index, _)| (board, index)).collect();
            let takes = EACH.saturating_mul(u32::try_from(self.queue.len()).unwrap_or(u32::MAX));
            if many_descriptors() {
                // Half of it may have passed: the stop looks here when it comes to it.
                if left(end) > TABLES / 2 { self.view.read_tables() } else { self.view.without_tables() }
            }
            // A few threads have time enough after the end.
            let takes = Some(takes.min(BEFORE)).filter(|takes| *takes > AFTER);
            self.next = end.zip(takes).and_then(|(end, takes)| end.checked_sub(takes));
            return;
        }
        let until = deadline(SLICE).into_iter().chain(end).min();
        while let Some((board, index)) = self.queue.pop() {
            let remains = board.read(|inner| {
                let slot = &inner.slots[index];
                (!slot.gone()).then(|| slot.remains())
            });
            if let Some(remains) = remains {
                let blocked_in = remains.inspect(&self.view).blocked_in;
                let found = Found { phase: remains.phase, blocked_in, _board: board.clone() };
                self.found.insert((Arc::as_ptr(&board), index), found);
            }
            if left(until).is_zero() {
                break;
            }
        }
        self.next = self.next.filter(|_| !self.queue.is_empty());
    }

    /// Everyone who is left is hung. Looks at those it knows nothing of, for a moment.
    pub(super) fn hang_those_left(mut self, board: &Arc<Board>) {
        // Of many threads, most have been looked at before the end: then there is the marking of all of them still to do.
        let until = deadline(if self.found.is_empty() { AFTER } else { AFTER / 4 });
        if self.found.is_empty() && many_descriptors() {
            self.view.without_tables();
        }
        let mut looked = false;
        for (board, index, remains) in board.remaining() {
            let found = self.found.remove(&(Arc::as_ptr(&board), index)).filter(|found| found.phase == remains.phase);
            let hung: HungService = match found {
                Some(found) => remains.seen(found.blocked_in),
                None if !looked || !left(until).is_zero() => remains.inspect(&self.view),
                None => remains.seen(None),
            };
            looked = true;
            board.hung(index, hung);
        }
    }
}

fn many_descriptors() -> bool {
    std::fs::read_dir("/proc/self/fd").is_ok_and(|files| files.take(MANY).count() == MANY)
}
