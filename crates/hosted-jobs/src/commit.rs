//! Group commit: many callers, one write transaction.
//!
//! Operations queue up. Whoever finds nobody leading leads: it takes everything that waits, runs it in one transaction,
//! commits once, and answers all. Then the first of those that came meanwhile leads. So a caller that is alone commits
//! without handing over to another thread, and 32 callers share one commit.
//!
//! Invariants:
//! 1. At most one thread leads, and only the leader uses the store's writing connection.
//! 2. An operation that waits is in `waiting`, or in the batch of the leader, or has received the lead.
//! 3. Whoever leads hands the lead on, or gives it up when nobody waits. It does so even if a panic passes through.
//! 4. The operations of a failed batch run again, each alone. So a faulty one cannot fail the others.

use crate::error::{StoreError, StoreErrorKind};
use crate::events::{EventBus, JobEvent, JobEventKind};
use crate::store::{Backend, Result, Tx, WriteMode};
use crate::util::{Millis, catch_panic};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// The most operations in one transaction: a commit must not keep the first caller waiting for long.
const MOST_IN_BATCH: usize = 1_000;

/// What an operation works with: a transaction, and what is to be done after its commit.
pub(crate) struct UnitOfWork<'t> {
    pub(crate) tx: &'t mut dyn Tx,
    pub(crate) now: Millis,
    events: &'t mut Vec<JobEvent>,
    ring: &'t mut bool,
}

impl<'t> UnitOfWork<'t> {
    pub(crate) fn new(tx: &'t mut dyn Tx, now: Millis, events: &'t mut Vec<JobEvent>, ring: &'t mut bool) -> Self {
        UnitOfWork { tx, now, events, ring }
    }

    /// Emits an event once the transaction is committed.
    pub(crate) fn emit(&mut self, id: i64, kind: &str, what: JobEventKind) {
        self.events.push(JobEvent { id, kind: Arc::from(kind), what });
    }

    /// Wakes the workers of this process once the transaction is committed.
    pub(crate) fn ring(&mut self) {
        *self.ring = true;
    }
}

/// How an operation is to be committed.
#[derive(Clone, Copy)]
pub(crate) struct CommitMode {
    /// The commit must survive a power failure.
    pub(crate) durable: bool,
    /// Stop waiting at this moment. `None`: after the busy limit of the store.
    pub(crate) give_up: Option<Instant>,
}

impl CommitMode {
    pub(crate) const DURABLE: CommitMode = CommitMode { durable: true, give_up: None };
}

/// What is done after each commit.
pub(crate) trait AfterCommit: Send + Sync {
    fn ring(&self);
}

pub(crate) struct Committer {
    backend: Arc<dyn Backend>,
    events: Arc<EventBus>,
    after: Arc<dyn AfterCommit>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    leading: bool,
    waiting: VecDeque<Arc<dyn Operation>>,
}

/// An operation that waits, whatever it returns.
trait Operation: Send + Sync {
    fn run(&self, work: &mut UnitOfWork<'_>) -> Result<()>;
    fn answer(&self, result: Result<()>);
    fn lead(&self);
    fn durable(&self) -> bool;
}

struct Slot<F, R> {
    operation: Mutex<(F, Option<R>)>,
    durable: bool,
    state: Mutex<SlotState>,
    changed: Condvar,
}

enum SlotState {
    Waiting,
    Lead,
    Answered(Result<()>),
}

impl<F, R> Operation for Slot<F, R>
where
    F: FnMut(&mut UnitOfWork<'_>) -> Result<R> + Send,
    R: Send,
{
    fn run(&self, work: &mut UnitOfWork<'_>) -> Result<()> {
        let mut operation = self.operation.lock();
        let result = (operation.0)(work)?;
        operation.1 = Some(result);
        Ok(())
    }

    fn answer(&self, result: Result<()>) {
        *self.state.lock() = SlotState::Answered(result);
        self.changed.notify_all();
    }

    fn lead(&self) {
        *self.state.lock() = SlotState::Lead;
        self.changed.notify_all();
    }

    fn durable(&self) -> bool {
        self.durable
    }
}

/// The lead, which is handed on when this is dropped.
struct Lead<'c>(&'c Committer);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        match state.waiting.front() {
            // It stays in the queue: it takes itself out, with everything behind it.
            Some(next) => next.lead(),
            None => state.leading = false,
        }
    }
}

impl Committer {
    pub(crate) fn new(backend: Arc<dyn Backend>, events: Arc<EventBus>, after: Arc<dyn AfterCommit>) -> Self {
        Committer { backend, events, after, state: Mutex::default() }
    }

    /// Runs `operation` in a write transaction, together with those of other callers, and returns after the commit.
    ///
    /// `operation` may run several times; only the last run counts. It must leave nothing half done when it returns
    /// `Ok`.
    pub(crate) fn write<F, R>(&self, mode: CommitMode, operation: F) -> Result<R>
    where
        F: FnMut(&mut UnitOfWork<'_>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let give_up = mode.give_up.unwrap_or_else(|| Instant::now() + self.backend.busy_limit());
        let slot = Arc::new(Slot {
            operation: Mutex::new((operation, None)),
            durable: mode.durable,
            state: Mutex::new(SlotState::Waiting),
            changed: Condvar::new(),
        });
        let leads = {
            let mut state = self.state.lock();
            state.waiting.push_back(slot.clone());
            !std::mem::replace(&mut state.leading, true)
        };
        if leads || !self.wait(&slot, give_up) {
            self.lead(give_up);
        }
        let answer = std::mem::replace(&mut *slot.state.lock(), SlotState::Waiting);
        let answer = match answer {
            SlotState::Answered(answer) => answer,
            SlotState::Waiting | SlotState::Lead => Err(StoreError::new(StoreErrorKind::NoAnswer)),
        };
        answer?;
        slot.operation.lock().1.take().ok_or_else(|| StoreError::new(StoreErrorKind::NoAnswer))
    }

    /// Waits for the answer. Returns `false` if this caller is to lead instead.
    fn wait<F, R>(&self, slot: &Arc<Slot<F, R>>, give_up: Instant) -> bool
    where
        F: FnMut(&mut UnitOfWork<'_>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let mut state = slot.state.lock();
        loop {
            match *state {
                SlotState::Waiting => {}
                SlotState::Lead => return false,
                SlotState::Answered(_) => return true,
            }
            if slot.changed.wait_until(&mut state, give_up).timed_out() {
                drop(state);
                return self.withdraw(slot);
            }
        }
    }

    /// Takes an operation back that nobody has begun. Returns `false` if it has received the lead meanwhile.
    fn withdraw<F, R>(&self, slot: &Arc<Slot<F, R>>) -> bool
    where
        F: FnMut(&mut UnitOfWork<'_>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let mut all = self.state.lock();
        if matches!(*slot.state.lock(), SlotState::Lead) {
            return false;
        }
        let own: Arc<dyn Operation> = slot.clone();
        let before = all.waiting.len();
        all.waiting.retain(|other| !Arc::ptr_eq(other, &own));
        if all.waiting.len() < before {
            let busy = StoreErrorKind::Busy(self.backend.busy_limit());
            *slot.state.lock() = SlotState::Answered(Err(StoreError::new(busy)));
        }
        true
    }

    /// Commits what waits, and hands the lead on.
    fn lead(&self, give_up: Instant) {
        let _lead = Lead(self);
        let batch: Vec<_> = {
            let mut state = self.state.lock();
            let number = state.waiting.len().min(MOST_IN_BATCH);
            state.waiting.drain(..number).collect()
        };
        match self.commit(&batch, give_up) {
            Ok(()) => batch.iter().for_each(|operation| operation.answer(Ok(()))),
            Err(error) if batch.len() == 1 || error.is_busy() => {
                batch.iter().for_each(|operation| operation.answer(Err(error.duplicate())));
            }
            Err(_) => {
                for operation in &batch {
                    operation.answer(self.commit(std::slice::from_ref(operation), give_up));
                }
            }
        }
    }

    /// Runs the operations in one transaction.
    fn commit(&self, batch: &[Arc<dyn Operation>], give_up: Instant) -> Result<()> {
        let mode = WriteMode { durable: batch.iter().any(|operation| operation.durable()), give_up };
        let (mut events, mut ring) = (Vec::new(), false);
        let written = catch_panic(|| {
            self.backend.write(mode, &mut |tx| {
                events.clear();
                let now = tx.now()?;
                batch
                    .iter()
                    .try_for_each(|operation| operation.run(&mut UnitOfWork::new(tx, now, &mut events, &mut ring)))
            })
        });
        // No operation panics unless the library is wrong. The callers must get an answer even then.
        written.unwrap_or_else(|panic| Err(StoreError::failed("run a transaction; a panic", panic)))?;
        for event in &events {
            self.events.emit(event);
        }
        if ring {
            self.after.ring();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use hosted::Clock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[derive(Default)]
    struct Rings(AtomicUsize);

    impl AfterCommit for Rings {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn committer() -> Committer {
        let backend = Arc::new(MemoryStore::new(Clock::system()));
        Committer::new(backend, Arc::default(), Arc::<Rings>::default())
    }

    #[test]
    fn every_caller_gets_its_own_answer() {
        let committer = committer();
        thread::scope(|scope| {
            for n in 0..16 {
                let committer = &committer;
                scope.spawn(move || {
                    for i in 0..200 {
                        let answer = committer.write(CommitMode::DURABLE, move |_| Ok((n, i)));
                        assert_eq!(answer.unwrap(), (n, i));
                    }
                });
            }
        });
    }

    #[test]
    fn an_operation_that_fails_or_panics_fails_only_itself() {
        let committer = committer();
        thread::scope(|scope| {
            for n in 0..9 {
                let committer = &committer;
                scope.spawn(move || {
                    for _ in 0..50 {
                        let answer = committer.write(CommitMode::DURABLE, move |_| match n % 3 {
                            0 => Ok(n),
                            1 => Err(StoreError::failed("do it", "no")),
                            _ => std::panic::panic_any("on purpose"),
                        });
                        assert_eq!(answer.is_ok(), n % 3 == 0);
                    }
                });
            }
        });
    }
}
