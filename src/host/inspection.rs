//! What the threads that a stop leaves behind are blocked in. Reading that takes part of a millisecond for each thread, so
//! that of many threads it is read before the deadline, and only of as many as there is time for.

use crate::diagnose::ProcSnapshot;
use crate::registry::Registry;
use crate::report::{BlockedThread, Phase};
use crate::util::sync::{Arc, now};
use crate::util::time::{deadline, remaining};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What one thread takes, roughly.
const EACH: Duration = Duration::from_micros(300);

/// The inspection begins no earlier than so long before the end of a stop.
const BEFORE: Duration = Duration::from_millis(100);

/// After the end of a stop the inspection goes on for so long: enough for some dozen threads, whose state is then of the very
/// end.
const AFTER: Duration = Duration::from_millis(20);

/// A process with so many descriptors has long tables of sockets: to read ten thousand takes 140 ms. They are read before the
/// end of a stop, if there is so much time until then, or not at all.
const MANY: usize = 1_000;
const TABLES: Duration = Duration::from_millis(50);

/// Meanwhile the stop does nothing else.
const SLICE: Duration = Duration::from_millis(3);

pub(super) struct Inspection {
    /// When to find out how many threads there are, or to look at the next.
    next: Option<Instant>,
    /// How many there were is known.
    counted: bool,
    /// Whose threads have not been looked at.
    queue: Vec<(Arc<Registry>, usize)>,
    /// What has been found, by board and row. The board is kept, so that its address remains its own.
    found: HashMap<(*const Registry, usize), Found>,
    view: ProcSnapshot,
}

struct Found {
    phase: Phase,
    blocked_in: Option<String>,
    _board: Arc<Registry>,
}

impl Inspection {
    /// For a stop that waits until `end`. Before the end it takes a quarter of the time at most.
    pub(super) fn new(end: Option<Instant>) -> Self {
        let next = end.and_then(|end| end.checked_sub(BEFORE.min(remaining(Some(end)) / 4)));
        Inspection { next, counted: false, queue: Vec::new(), found: HashMap::new(), view: ProcSnapshot::new() }
    }

    /// None before the end: somebody else looks at the threads.
    pub(super) fn none() -> Self {
        Inspection::new(None)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at some threads, if it is time to.
    pub(super) fn step(&mut self, board: &Arc<Registry>, end: Option<Instant>) {
        if self.next.is_none_or(|next| now() < next) {
            return;
        }
        if !self.counted {
            self.counted = true;
            self.queue = board.remaining().into_iter().map(|(board, index, _)| (board, index)).collect();
            let takes = EACH.saturating_mul(u32::try_from(self.queue.len()).unwrap_or(u32::MAX));
            let many = many_descriptors();
            if many && remaining(end) < TABLES {
                self.view.without_tables();
            }
            // A few threads have time enough after the end, unless the tables of sockets are long.
            let before = if many { BEFORE } else { takes };
            self.next = end.filter(|_| before > AFTER).and_then(|end| end.checked_sub(before));
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
            if remaining(until).is_zero() {
                break;
            }
        }
        self.next = self.next.filter(|_| !self.queue.is_empty());
    }

    /// Everyone who is left is hung. Looks at those it knows nothing of, for a moment.
    pub(super) fn hang_those_left(mut self, board: &Arc<Registry>) {
        let until = deadline(AFTER);
        if self.found.is_empty() && many_descriptors() {
            self.view.without_tables();
        }
        let mut looked = false;
        for (board, index, remains) in board.remaining() {
            let found = self.found.remove(&(Arc::as_ptr(&board), index)).filter(|found| found.phase == remains.phase);
            let hung: BlockedThread = match found {
                Some(found) => remains.seen(found.blocked_in),
                None if !looked || !remaining(until).is_zero() => remains.inspect(&self.view),
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
