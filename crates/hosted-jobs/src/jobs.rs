//! The handle of an open store: `Jobs`.

use crate::commit::CommitMode;
use crate::core::Core;
use crate::drain::{DrainError, Drained, drain};
use crate::enqueue::{Enqueue, Enqueued};
use crate::error::EnqueueError;
use crate::events::JobEvent;
use crate::handlers::Handlers;
use crate::recurring::{Recurring, RecurringError};
use crate::rules::{Declaration, declare, enqueue};
use crate::util::to_millis;
use crate::worker::Workers;
use crossbeam_channel::Receiver;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An open store of jobs. Clones are the same store.
///
/// See the [crate's documentation](crate) for an introduction.
#[derive(Clone)]
pub struct Jobs {
    pub(crate) core: Arc<Core>,
}

/// What became of a declaration of recurring jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declared {
    /// The set is stored.
    Stored,
    /// A newer revision of this program has declared its set, which stays. See [`Builder::program`](crate::Builder::program).
    NewerRevision(u32),
}

impl Jobs {
    pub(crate) fn on(core: Arc<Core>) -> Self {
        Jobs { core }
    }

    /// Stores a job. When this returns `Ok`, the job survives the death of this process, and a power failure.
    ///
    /// # Errors
    ///
    /// If the job is too large or does not serialize, or if the store is locked for too long or fails. Nothing is
    /// stored then.
    #[doc(alias("push", "perform_async", "schedule"))]
    pub fn enqueue(&self, job: impl Into<Enqueue>) -> Result<Enqueued, EnqueueError> {
        let request = job.into().into_request(self.core.settings.max_payload)?;
        self.core.enqueue(request).map(Enqueued)
    }

    /// Stores a job that starts no sooner than `time` from now.
    ///
    /// # Errors
    ///
    /// As for [`enqueue`](Self::enqueue).
    pub fn enqueue_in(&self, time: Duration, job: impl Into<Enqueue>) -> Result<Enqueued, EnqueueError> {
        self.enqueue(job.into().delay(time))
    }

    /// Stores a job that starts no sooner than at `time`. A time in the past means now.
    ///
    /// # Errors
    ///
    /// As for [`enqueue`](Self::enqueue).
    pub fn enqueue_at(&self, time: SystemTime, job: impl Into<Enqueue>) -> Result<Enqueued, EnqueueError> {
        self.enqueue(job.into().at(time))
    }

    /// Stores all jobs, or none, in one transaction.
    ///
    /// # Errors
    ///
    /// As for [`enqueue`](Self::enqueue).
    pub fn enqueue_all<E: Into<Enqueue>>(
        &self,
        jobs: impl IntoIterator<Item = E>,
    ) -> Result<Vec<Enqueued>, EnqueueError> {
        let most = self.core.settings.max_payload;
        let requests = jobs.into_iter().map(|job| job.into().into_request(most)).collect::<Result<Vec<_>, _>>()?;
        let all = move |work: &mut crate::commit::UnitOfWork<'_>| {
            requests.iter().map(|request| enqueue(work, request).map(Enqueued)).collect::<Result<Vec<_>, _>>()
        };
        Ok(self.core.write(CommitMode::DURABLE, all)?)
    }

    /// Stores a job in a transaction of your own, on the same file: the job exists if, and only if, it is committed.
    ///
    /// `target` is a reference to a [`rusqlite::Connection`], a [`rusqlite::Transaction`] or a
    /// [`rusqlite::Savepoint`]. Workers notice the commit within milliseconds; [`ring`](Self::ring) makes it at once.
    ///
    /// ```
    /// # use hosted_jobs::{Job, Jobs, rusqlite};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "mail"; }
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("app.db");
    /// let jobs = Jobs::open(&path).unwrap();
    /// let mut db = rusqlite::Connection::open(&path).unwrap();
    /// db.execute_batch("CREATE TABLE customer(name TEXT)").unwrap();
    ///
    /// let mut tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    /// tx.execute("INSERT INTO customer(name) VALUES ('Ada')", []).unwrap();
    /// jobs.enqueue_on(&mut tx, &SendMail { to: "ada@example.org".into() }).unwrap();
    /// tx.commit().unwrap();
    /// jobs.ring();
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`enqueue`](Self::enqueue), and if the transaction began with a read and cannot become a write: begin
    /// it with `BEGIN IMMEDIATE`. Roll back then, or go on without the job.
    #[cfg(feature = "sqlite")]
    pub fn enqueue_on(
        &self,
        target: impl crate::EnqueueTarget,
        job: impl Into<Enqueue>,
    ) -> Result<Enqueued, EnqueueError> {
        crate::sqlite::enqueue_on(&self.core, &target, job.into())
    }

    /// Returns the SQL statement that stores a job, for a driver that this library does not know.
    ///
    /// It returns the id of the new job, or no row if another job holds the unique key.
    ///
    /// # Errors
    ///
    /// If the job is not valid, if it asks for [`Unique::within`](crate::Unique::within) or
    /// [`Enqueue::replace`], which are more than one statement, or if the store has no SQL.
    #[cfg(feature = "sqlite")]
    pub fn statement(&self, job: impl Into<Enqueue>) -> Result<crate::Statement, EnqueueError> {
        crate::sqlite::statement(&self.core, job.into())
    }

    /// Wakes the workers of this process: a transaction of your own has stored a job.
    pub fn ring(&self) {
        use crate::commit::AfterCommit;
        self.core.bells.ring();
    }

    /// Creates the service that runs jobs on `threads` threads.
    ///
    /// ```
    /// # use hosted_jobs::{Handlers, Job, JobContext, Jobs};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct SendMail { to: String }
    /// # impl Job for SendMail { const KIND: &'static str = "mail"; }
    /// # let jobs = Jobs::memory(hosted::Clock::system());
    /// let mut host = hosted::Host::new();
    /// host.add("jobs", jobs.workers(4, Handlers::new().handle(|mail: SendMail, _: &JobContext| {
    ///     println!("mail to {}", mail.to);
    ///     Ok(())
    /// })));
    /// # host.start().unwrap();
    /// # host.stop(std::time::Duration::from_secs(10)).unwrap();
    /// ```
    ///
    /// When the host stops, nothing new starts. Running jobs go on until shortly before the stop deadline; then their
    /// tokens stop. A job that returns because of that is ready again at once, and costs nothing.
    ///
    /// The start of the service fails if the handlers are not valid or the store cannot be written.
    #[doc(alias("Worker", "BackgroundJobServer"))]
    pub fn workers(&self, threads: usize, handlers: Handlers) -> Workers {
        Workers::new(self.core.clone(), threads, handlers)
    }

    /// Runs everything that is due on this thread, in order, until nothing is due any more.
    ///
    /// For tests: with a manual clock the result is always the same. Jobs that are enqueued meanwhile run as well, and
    /// so do recurring jobs that are due. Timeouts are not enforced.
    ///
    /// # Errors
    ///
    /// If the handlers are not valid, the store fails, or a job is due again forever.
    pub fn drain(&self, handlers: &Handlers) -> Result<Drained, DrainError> {
        drain(&self.core, handlers)
    }

    /// Declares the recurring jobs of this program. Those that it declared before, and that are not in the set, are
    /// removed.
    ///
    /// A schedule that has not changed goes on as if nothing had happened: a restart fires nothing and skips nothing.
    /// A schedule that has changed starts from now.
    ///
    /// # Errors
    ///
    /// If a name is used twice, a job is not valid, a schedule is never due, or the store fails.
    pub fn recurring(&self, set: impl IntoIterator<Item = Recurring>) -> Result<Declared, RecurringError> {
        let settings = &self.core.settings;
        let now = to_millis(self.core.clock.system_time());
        let (mut rows, mut names) = (Vec::new(), HashSet::new());
        for recurring in set {
            recurring.check(now)?;
            let row = recurring.row(&settings.program, settings.max_payload)?;
            if !names.insert(row.name.clone()) {
                return Err(RecurringError(format!("duplicate schedule name `{}`", row.name)));
            }
            rows.push(row);
        }
        let set = Declaration { program: settings.program.clone(), revision: settings.revision, rows };
        let stored = self.core.write(CommitMode::DURABLE, move |work| declare(work, &set));
        match stored.map_err(|error| RecurringError(format!("cannot store the schedules: {error}")))? {
            None => Ok(Declared::Stored),
            Some(newer) => Ok(Declared::NewerRevision(newer)),
        }
    }

    /// Returns what happens to jobs in this process from now on: enqueues, runs, ends, rescues.
    ///
    /// A listener may be 1,024 events behind. If it is slower, events are dropped, and
    /// [`JobEventKind::Lagged`](crate::JobEventKind::Lagged) says how many.
    pub fn events(&self) -> Receiver<JobEvent> {
        self.core.events.subscribe()
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("settings", &self.core.settings).finish_non_exhaustive()
    }
}
