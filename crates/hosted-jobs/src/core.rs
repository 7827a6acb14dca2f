//! What all parts of one open store share: the store, the group commit, the bells, the events.

use crate::commit::{AfterCommit, CommitMode, Committer, UnitOfWork};
use crate::error::{EnqueueError, StoreError, StoreErrorKind};
use crate::events::{EventBus, JobEvent, JobEventKind};
use crate::rules::{EnqueueOutcome, EnqueueRequest, Retention, enqueue};
use crate::store::{Backend, Life, ReadTx, Result};
use hosted::{Clock, Context, StopSource};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// An open store.
pub(crate) struct Core {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) clock: Clock,
    pub(crate) events: Arc<EventBus>,
    pub(crate) bells: Arc<Bells>,
    pub(crate) settings: Settings,
    committer: Committer,
    /// Set while a job runs under which a process has died before. Only one runs at a time.
    pub(crate) suspect_runs: AtomicBool,
    /// Counts the requests of this process to cancel a running job.
    pub(crate) cancels: AtomicU64,
    /// The locks of workers whose threads did not come back: they last as long as the process.
    kept: Mutex<Vec<Arc<dyn Life>>>,
}

/// What a [`Builder`](crate::Builder) sets.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) max_payload: usize,
    pub(crate) retention: Retention,
    /// A job is dead when its process has died this often while it ran.
    pub(crate) max_deaths: u32,
    pub(crate) program: String,
    pub(crate) revision: u32,
}

impl Core {
    pub(crate) fn new(backend: Arc<dyn Backend>, clock: Clock, settings: Settings) -> Arc<Self> {
        let (events, bells) = (Arc::<EventBus>::default(), Arc::<Bells>::default());
        let committer = Committer::new(backend.clone(), events.clone(), bells.clone());
        Arc::new(Core {
            backend,
            clock,
            events,
            bells,
            settings,
            committer,
            suspect_runs: AtomicBool::new(false),
            cancels: AtomicU64::new(0),
            kept: Mutex::default(),
        })
    }

    /// Runs an operation in a write transaction. See [`Committer::write`].
    pub(crate) fn write<F, R>(&self, mode: CommitMode, operation: F) -> Result<R>
    where
        F: FnMut(&mut UnitOfWork<'_>) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        self.committer.write(mode, operation)
    }

    /// Asks the store something.
    pub(crate) fn read<R>(&self, mut ask: impl FnMut(&mut dyn ReadTx) -> Result<R>) -> Result<R> {
        let mut answer = None;
        self.backend.read(&mut |tx| {
            answer = Some(ask(tx)?);
            Ok(())
        })?;
        answer.ok_or_else(|| StoreError::new(StoreErrorKind::NoAnswer))
    }

    pub(crate) fn enqueue(&self, request: EnqueueRequest) -> Result<EnqueueOutcome, EnqueueError> {
        Ok(self.write(CommitMode::DURABLE, move |work| enqueue(work, &request))?)
    }

    pub(crate) fn emit(&self, id: i64, kind: &str, what: JobEventKind) {
        self.events.emit(&JobEvent { id, kind: Arc::from(kind), what });
    }

    /// Keeps the lock of a worker until the process ends.
    pub(crate) fn keep(&self, life: Arc<dyn Life>) {
        self.kept.lock().push(life);
    }
}

/// The bells of the workers of this process.
#[derive(Default)]
pub(crate) struct Bells(Mutex<Vec<Weak<Bell>>>);

impl Bells {
    pub(crate) fn add(&self) -> Arc<Bell> {
        let bell = Arc::<Bell>::default();
        self.0.lock().push(Arc::downgrade(&bell));
        bell
    }
}

impl AfterCommit for Bells {
    /// Tells every worker of this process that there may be something to do.
    fn ring(&self) {
        let mut bells = Vec::new();
        self.0.lock().retain(|bell| bell.upgrade().map(|bell| bells.push(bell)).is_some());
        for bell in bells {
            bell.announce_work();
        }
    }
}

/// Wakes one thread that waits for work.
#[derive(Default)]
pub(crate) struct Bell {
    state: Mutex<BellState>,
    work: AtomicBool,
    foreign: AtomicBool,
}

#[derive(Default)]
struct BellState {
    rung: bool,
    /// Stopping it wakes the thread that waits.
    sleeper: Option<StopSource>,
}

impl Bell {
    /// Wakes the thread. A ring while it is awake makes its next wait return at once.
    pub(crate) fn ring(&self) {
        let sleeper = {
            let mut state = self.state.lock();
            state.rung = true;
            state.sleeper.take()
        };
        if let Some(sleeper) = sleeper {
            sleeper.request_stop();
        }
    }

    /// This process has stored something that the thread may want.
    pub(crate) fn announce_work(&self) {
        self.work.store(true, Ordering::Release); // pairs with `take_work`; the lock of `ring` follows it
        self.ring();
    }

    /// Another process may have stored something.
    pub(crate) fn announce_foreign(&self) {
        self.foreign.store(true, Ordering::Release);
        self.ring();
    }

    pub(crate) fn take_work(&self) -> bool {
        self.work.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take_foreign(&self) -> bool {
        self.foreign.swap(false, Ordering::AcqRel)
    }

    /// Waits for a ring: for at most `by_clock` by the clock of `ctx`, and `real` by the system's.
    ///
    /// If `until_stop` is set, a stop request of `ctx` ends the wait as well.
    pub(crate) fn wait(&self, ctx: &Context, until_stop: bool, by_clock: Duration, real: Duration) {
        let parent = until_stop.then(|| ctx.stop_token());
        let source = StopSource::linked(parent);
        {
            let mut state = self.state.lock();
            if std::mem::take(&mut state.rung) {
                return;
            }
            state.sleeper = Some(source.clone());
        }
        if real < Duration::MAX {
            source.request_stop_after(real);
        }
        // The clock of a context is used through a context. A wait that was ended is what is wanted.
        let _ = Context::new("wait", source.token()).with_clock(ctx.clock().clone()).sleep(by_clock);
        let mut state = self.state.lock();
        state.sleeper = None;
        state.rung = false;
    }
}
