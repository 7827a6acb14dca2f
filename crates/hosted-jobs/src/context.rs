//! What a handler is given.

use crate::commit::CommitMode;
use crate::core::Core;
use crate::enqueue::{Enqueue, Enqueued};
use crate::error::{EnqueueError, LostClaim, RunError};
use crate::store::{Claimed, Fence};
use crate::util::from_millis;
use hosted::{Context, StopSource, StopToken};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Why the stop token of a running job was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StopCause {
    /// The host stops. Return the error of the stop: the job is handed back and costs nothing.
    HostStop,
    /// Somebody has cancelled the job.
    Cancelled,
    /// The job has run longer than its timeout.
    TimedOut,
    /// The job no longer belongs to this run. Nothing that it writes will be kept.
    LostClaim,
}

/// A running job, as seen from outside.
pub(crate) struct Run {
    pub(crate) fence: Fence,
    stop: StopSource,
    host: StopToken,
    timeout_at: Option<Instant>,
    cause: Mutex<Option<StopCause>>,
    output: Mutex<Option<Vec<u8>>>,
}

impl Run {
    /// `host` stops when the host stops and the job has to come back.
    pub(crate) fn new(fence: Fence, timeout: Option<Duration>, host: &StopToken) -> Arc<Self> {
        let stop = StopSource::linked([host]);
        let timeout_at = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(timeout) = timeout {
            stop.request_stop_after(timeout);
        }
        Arc::new(Run { fence, stop, host: host.clone(), timeout_at, cause: Mutex::default(), output: Mutex::default() })
    }

    pub(crate) fn token(&self) -> StopToken {
        self.stop.token()
    }

    /// Stops the token of the job. The first cause counts.
    pub(crate) fn request_stop(&self, cause: StopCause) {
        if self.cause().is_none() {
            self.cause.lock().get_or_insert(cause);
        }
        self.stop.request_stop();
    }

    /// Returns why the token was stopped, or `None` if it was not. The first answer stays.
    pub(crate) fn cause(&self) -> Option<StopCause> {
        let mut cause = self.cause.lock();
        if cause.is_none() && self.stop.stop_requested() {
            // Only the host and the timeout stop the token without naming a cause. If both have, the host counts: the
            // job pays nothing.
            *cause = Some(if self.host.stop_requested() { StopCause::HostStop } else { StopCause::TimedOut });
        }
        *cause
    }

    pub(crate) fn timeout_at(&self) -> Option<Instant> {
        self.timeout_at
    }

    pub(crate) fn take_output(&self) -> Option<Vec<u8>> {
        self.output.lock().take()
    }
}

/// What a handler is given: the job's data about itself, and everything of [`hosted::Context`].
///
/// Its stop token is the job's own. It stops for one of four causes: see [`stop_cause`](Self::stop_cause). Waits of
/// this context then end with an error; `?` hands the job back, or ends it, as the cause demands.
pub struct JobContext {
    ctx: Context,
    core: Arc<Core>,
    run: Arc<Run>,
    job: Arc<Claimed>,
}

impl JobContext {
    pub(crate) fn new(service: &Context, core: Arc<Core>, run: Arc<Run>, job: Arc<Claimed>) -> Self {
        let ctx = service.with_token(run.token());
        JobContext { ctx, core, run, job }
    }

    /// Returns why the stop token of this job was stopped. Returns `None` if it was not.
    pub fn stop_cause(&self) -> Option<StopCause> {
        self.run.cause()
    }

    /// Returns the id of the job.
    pub fn id(&self) -> i64 {
        self.job.fence.id
    }

    /// Returns the kind under which the job was stored.
    pub fn kind(&self) -> &str {
        &self.job.kind
    }

    /// Returns the queue of the job.
    pub fn queue(&self) -> &str {
        &self.job.queue
    }

    /// Returns how often the job has failed.
    pub fn failed(&self) -> u32 {
        self.job.failed
    }

    /// Returns how many processes have died while they ran the job.
    pub fn lost(&self) -> u32 {
        self.job.lost
    }

    /// Returns `true` if the job has been started before.
    pub fn is_retry(&self) -> bool {
        self.job.fence.claim > 1
    }

    /// Returns when the job was enqueued.
    pub fn enqueued_at(&self) -> SystemTime {
        from_millis(self.job.created_at)
    }

    /// Returns the due time of a recurring job: its date, however late it runs. Returns `None` for other jobs.
    pub fn due_at(&self) -> Option<SystemTime> {
        self.job.occurrence.as_ref().map(|occurrence| from_millis(occurrence.due_at))
    }

    /// Returns how many due times of the schedule before this one made no job.
    pub fn missed(&self) -> u32 {
        self.job.occurrence.as_ref().map_or(0, |occurrence| occurrence.missed)
    }

    /// Returns the moment of the timeout of this run. Returns `None` if the job has no timeout.
    pub fn deadline(&self) -> Option<Instant> {
        self.run.timeout_at()
    }

    /// Returns the last checkpoint of the job, of this run or of an earlier one. Returns `None` if there is none.
    ///
    /// # Errors
    ///
    /// If the checkpoint is of another type, or the store fails.
    pub fn progress<T: DeserializeOwned>(&self) -> Result<Option<T>, RunError> {
        let id = self.id();
        let stored = self.core.read(move |tx| tx.job(id))?.and_then(|job| job.progress);
        let decode =
            |bytes: Vec<u8>| serde_json::from_slice(&bytes).map_err(|error| RunError::Encode(error.to_string()));
        stored.map(decode).transpose()
    }

    /// Stores how far the job has come. The next run finds it with [`progress`](Self::progress).
    ///
    /// # Errors
    ///
    /// [`RunError::LostClaim`] if the job no longer belongs to this run. Its token is stopped then.
    pub fn checkpoint<T: Serialize>(&self, progress: &T) -> Result<(), RunError> {
        let (fence, bytes) = (self.run.fence, encode(progress)?);
        let held = self.core.write(CommitMode::DURABLE, move |work| work.tx.set_progress(&fence, &bytes))?;
        if held { Ok(()) } else { Err(self.lost_claim().into()) }
    }

    /// Leaves a result that is stored with the end of the job. See [`JobInfo::output`](crate::JobInfo::output).
    ///
    /// # Errors
    ///
    /// If the value does not serialize.
    pub fn output<T: Serialize>(&self, output: &T) -> Result<(), RunError> {
        *self.run.output.lock() = Some(encode(output)?);
        Ok(())
    }

    /// Stores another job, as [`Jobs::enqueue`](crate::Jobs::enqueue) does.
    ///
    /// # Errors
    ///
    /// If the job is not valid, or the store fails.
    pub fn enqueue(&self, job: impl Into<Enqueue>) -> Result<Enqueued, EnqueueError> {
        let request = job.into().into_request(self.core.settings.max_payload)?;
        self.core.enqueue(request).map(Enqueued)
    }

    /// The job no longer belongs to this run: its token is stopped.
    pub(crate) fn lost_claim(&self) -> LostClaim {
        self.run.request_stop(StopCause::LostClaim);
        LostClaim
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn core(&self) -> &Core {
        &self.core
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn fence(&self) -> Fence {
        self.run.fence
    }

    #[cfg(feature = "sqlite")]
    pub(crate) fn current_output(&self) -> Option<Vec<u8>> {
        self.run.output.lock().clone()
    }
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, RunError> {
    serde_json::to_vec(value).map_err(|error| RunError::Encode(error.to_string()))
}

impl Deref for JobContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.ctx
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("stop_cause", &self.stop_cause())
            .finish_non_exhaustive()
    }
}
