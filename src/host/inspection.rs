//! Inspects what the threads that a shutdown leaves behind are blocked in. The inspection of a thread takes a fraction
//! of a millisecond. So many threads are inspected before the end, and only as many as the time allows.

use crate::diagnose::ProcSnapshot;
use crate::registry::{Registry, ServiceId};
use crate::report::{BlockedThread, Phase};
use crate::util::sync::{Arc, now};
use crate::util::time::{deadline, remaining};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Roughly how long the inspection of one thread takes.
const TIME_PER_THREAD: Duration = Duration::from_micros(300);

/// The earliest begin of the inspection, as the time before the end of a shutdown.
const MAX_LEAD: Duration = Duration::from_millis(100);

/// How long the inspection may continue after the end of a shutdown. This is enough for a few dozen threads, so that they are
/// inspected as late as possible.
const MAX_OVERRUN: Duration = Duration::from_millis(20);

/// From this number of descriptors on, the tables of sockets count as long. Reading ten thousand entries takes 140 ms, and more on
/// a busy machine.
const MANY_DESCRIPTORS: usize = 1_000;

/// When long tables are read, as the time before the end of a shutdown. If this is more than a tenth of the whole time, they are
/// not read.
const TABLES_LEAD: Duration = Duration::from_secs(1);

/// How long the shutdown inspects threads at a time. Meanwhile it does nothing else.
const MAX_SLICE: Duration = Duration::from_millis(3);

pub(super) struct Inspection {
    /// When to count the threads, or to inspect the next threads.
    next: Option<Instant>,
    /// Whether the threads have been counted.
    counted: bool,
    /// The services whose threads have not been inspected.
    queue: Vec<(Arc<Registry>, ServiceId)>,
    /// The results. A result keeps its registry alive, so that the address of the registry identifies it.
    found: HashMap<(*const Registry, ServiceId), Found>,
    snapshot: ProcSnapshot,
}

struct Found {
    phase: Phase,
    blocked_in: Option<String>,
    _registry: Arc<Registry>,
}

impl Inspection {
    /// The inspection of a shutdown that waits until `end`. Before the end it takes at most a quarter of the time.
    pub(super) fn new(end: Option<Instant>) -> Self {
        let next = end.and_then(|end| {
            let left = remaining(Some(end));
            end.checked_sub(if left / 10 >= TABLES_LEAD { TABLES_LEAD } else { MAX_LEAD.min(left / 4) })
        });
        Inspection { next, counted: false, queue: Vec::new(), found: HashMap::new(), snapshot: ProcSnapshot::new() }
    }

    /// Creates an inspection that inspects nothing before the end: the outermost host inspects the threads.
    pub(super) fn none() -> Self {
        Inspection::new(None)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Inspects some threads, if it is time to.
    pub(super) fn step(&mut self, registry: &Arc<Registry>, end: Option<Instant>) {
        if self.next.is_none_or(|next| now() < next) {
            return;
        }
        if !self.counted {
            self.counted = true;
            self.queue = registry.all_unfinished().into_iter().map(|(registry, id, _)| (registry, id)).collect();
            let takes = TIME_PER_THREAD.saturating_mul(u32::try_from(self.queue.len()).unwrap_or(u32::MAX));
            if many_descriptors() {
                // Half of that time may have passed before the shutdown calls this.
                if remaining(end) > TABLES_LEAD / 2 {
                    self.snapshot.read_tables()
                } else {
                    self.snapshot.without_tables()
                }
            }
            // A few threads can be inspected after the end.
            let takes = Some(takes.min(MAX_LEAD)).filter(|takes| *takes > MAX_OVERRUN);
            self.next = end.zip(takes).and_then(|(end, takes)| end.checked_sub(takes));
            return;
        }
        let until = deadline(MAX_SLICE).into_iter().chain(end).min();
        while let Some((registry, id)) = self.queue.pop() {
            if let Some(stuck) = registry.stuck_if_unfinished(id) {
                let blocked_in = stuck.inspect(&self.snapshot).blocked_in;
                let found = Found { phase: stuck.phase(), blocked_in, _registry: registry.clone() };
                self.found.insert((Arc::as_ptr(&registry), id), found);
            }
            if remaining(until).is_zero() {
                break;
            }
        }
        self.next = self.next.filter(|_| !self.queue.is_empty());
    }

    /// Marks every service that is left as hung. Inspects the threads that were not inspected, for a short time.
    pub(super) fn mark_remaining_hung(mut self, registry: &Arc<Registry>) {
        // If many threads were inspected before the end, marking all of them takes the rest of the time.
        let until = deadline(if self.found.is_empty() { MAX_OVERRUN } else { MAX_OVERRUN / 4 });
        if self.found.is_empty() && many_descriptors() {
            self.snapshot.without_tables();
        }
        let mut is_first = true;
        for (registry, id, stuck) in registry.all_unfinished() {
            let found = self.found.remove(&(Arc::as_ptr(&registry), id)).filter(|found| found.phase == stuck.phase());
            let blocked: BlockedThread = match found {
                Some(found) => stuck.blocked(found.blocked_in),
                None if is_first || !remaining(until).is_zero() => stuck.inspect(&self.snapshot),
                None => stuck.blocked(None),
            };
            is_first = false;
            registry.mark_hung(id, blocked);
        }
    }
}

fn many_descriptors() -> bool {
    std::fs::read_dir("/proc/self/fd").is_ok_and(|files| files.take(MANY_DESCRIPTORS).count() == MANY_DESCRIPTORS)
}
