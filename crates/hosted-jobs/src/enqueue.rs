//! The request to store a job, and its options.

use crate::error::EnqueueError;
use crate::job::Job;
use crate::rules::{EnqueueOutcome, EnqueueRequest, UniqueRequest, When};
use crate::store::{Limit, UniqueKey};
use crate::util::{Millis, millis, to_millis};
use serde::Serialize;
use std::time::{Duration, SystemTime};

/// A job to be stored, with everything that its kind's [`Options`](crate::Options) leave open.
///
/// A reference to a job converts into an `Enqueue`, so `jobs.enqueue(&job)` works as well.
///
/// ```
/// use hosted_jobs::{Enqueue, Job, Jobs, Unique};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Reindex { shop: u32 }
/// impl Job for Reindex { const KIND: &'static str = "reindex"; }
///
/// let jobs = Jobs::memory(hosted::Clock::system());
/// let reindex = || Enqueue::new(&Reindex { shop: 7 }).unique(Unique::until_started(7)).priority(-1);
/// let first = jobs.enqueue(reindex()).unwrap();
/// let second = jobs.enqueue(reindex()).unwrap();
/// assert!(first.is_new() && !second.is_new());
/// assert_eq!(first.id(), second.id());
/// ```
#[derive(Clone, Debug)]
#[must_use = "a job is stored by `Jobs::enqueue`"]
pub struct Enqueue {
    kind: &'static str,
    version: u32,
    queue: String,
    priority: i32,
    max_failures: u32,
    when: When,
    unique: Option<Unique>,
    replace: bool,
    limit: Option<(Result<String, String>, u32)>,
    payload: Result<Vec<u8>, String>,
}

/// The longest key, in bytes: it stands in an index.
const LONGEST_KEY: usize = 1_024;

impl Enqueue {
    /// Creates a request to store `job` with the options of its kind, to be run as soon as possible.
    pub fn new<J: Job>(job: &J) -> Self {
        let options = J::options();
        Enqueue {
            kind: J::KIND,
            version: J::VERSION,
            queue: options.queue.to_owned(),
            priority: options.priority,
            max_failures: options.max_failures,
            when: When::Now,
            unique: None,
            replace: false,
            limit: None,
            payload: serde_json::to_vec(job).map_err(|error| error.to_string()),
        }
    }

    /// Puts the job into this queue.
    pub fn queue(self, name: impl Into<String>) -> Self {
        Enqueue { queue: name.into(), ..self }
    }

    /// Sets the priority. Workers take jobs with a lower number first.
    pub fn priority(self, priority: i32) -> Self {
        Enqueue { priority, ..self }
    }

    /// Lets the job start no sooner than `time` from now.
    #[doc(alias("schedule_in", "run_in"))]
    pub fn delay(self, time: Duration) -> Self {
        Enqueue { when: When::After(millis(time)), ..self }
    }

    /// Lets the job start no sooner than at `time`. A time in the past means now.
    #[doc(alias("schedule_at", "run_at"))]
    pub fn at(self, time: SystemTime) -> Self {
        Enqueue { when: When::At(to_millis(time)), ..self }
    }

    /// Stores the job only if no other job holds the key. See [`Unique`].
    pub fn unique(self, unique: Unique) -> Self {
        Enqueue { unique: Some(unique), ..self }
    }

    /// If another job holds the unique key and still waits, replaces its data, time, priority and limit by those of
    /// this job.
    ///
    /// With [`Unique::until_started`] and a [`delay`](Self::delay) this is a debounce: one run, with the last data. A
    /// job that runs is never replaced: under [`Unique::until_finished`] the request then changes nothing.
    #[doc(alias = "debounce")]
    pub fn replace(self) -> Self {
        Enqueue { replace: true, ..self }
    }

    /// Lets at most `most` jobs with this key run at the same time, in all processes together. The others are held.
    ///
    /// The key is any value that serializes, for example `("shop", 7)`. Held jobs delay no job of another key. A job
    /// takes its place when it is ready, so a ready job in a paused queue keeps its place. Zero counts as one.
    pub fn limit(self, key: impl Serialize, most: u32) -> Self {
        Enqueue { limit: Some((json(&key), most.max(1))), ..self }
    }

    /// Checks everything that can be checked without the store.
    pub(crate) fn into_request(self, max_payload: usize) -> Result<EnqueueRequest, EnqueueError> {
        let invalid = |why: &str| EnqueueError::Invalid(why.to_owned());
        let payload = self.payload.map_err(EnqueueError::Encode)?;
        if payload.len() > max_payload {
            return Err(EnqueueError::TooLarge { bytes: payload.len(), limit: max_payload });
        }
        if self.kind.is_empty() {
            return Err(invalid("`Job::KIND` is empty; give the kind a name"));
        }
        if self.queue.is_empty() {
            return Err(invalid("the name of the queue is empty"));
        }
        if self.version == 0 {
            return Err(invalid("`Job::VERSION` is 0; the first version is 1"));
        }
        let unique = self.unique.map(|unique| unique.request(self.kind)).transpose()?;
        let limit = match self.limit {
            None => None,
            Some((key, most)) => Some(Limit { key: short(key.map_err(EnqueueError::Encode)?)?, most }),
        };
        Ok(EnqueueRequest {
            queue: self.queue,
            kind: self.kind.to_owned(),
            version: self.version,
            priority: self.priority,
            max_failures: self.max_failures,
            when: self.when,
            unique,
            replace: self.replace,
            limit,
            occurrence: None,
            payload,
        })
    }
}

impl<J: Job> From<&J> for Enqueue {
    fn from(job: &J) -> Self {
        Enqueue::new(job)
    }
}

/// How long a job keeps others with the same key out.
///
/// The key is any value that serializes. Keys of different kinds of job never collide.
#[derive(Clone, Debug)]
pub struct Unique {
    key: Result<String, String>,
    span: Span,
}

#[derive(Clone, Copy, Debug)]
enum Span {
    UntilStarted,
    UntilFinished,
    Within(Millis),
}

impl Unique {
    /// At most one job with this key waits. Once it has started, another one may be stored.
    pub fn until_started(key: impl Serialize) -> Self {
        Unique { key: json(&key), span: Span::UntilStarted }
    }

    /// At most one job with this key waits or runs.
    pub fn until_finished(key: impl Serialize) -> Self {
        Unique { key: json(&key), span: Span::UntilFinished }
    }

    /// At most one job with this key is stored within `time`, even if it has ended long before.
    #[doc(alias("throttle", "once_within"))]
    pub fn within(key: impl Serialize, time: Duration) -> Self {
        Unique { key: json(&key), span: Span::Within(millis(time)) }
    }

    fn request(self, kind: &str) -> Result<UniqueRequest, EnqueueError> {
        let key = short(self.key.map_err(EnqueueError::Encode)?)?;
        let key = format!("{kind}:{key}").into_bytes();
        Ok(match self.span {
            Span::UntilStarted => UniqueRequest::Key(UniqueKey { key, until_finished: false }),
            Span::UntilFinished => UniqueRequest::Key(UniqueKey { key, until_finished: true }),
            Span::Within(time) => UniqueRequest::Within(key, time),
        })
    }
}

fn json(key: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(key).map_err(|error| error.to_string())
}

fn short(key: String) -> Result<String, EnqueueError> {
    if key.len() <= LONGEST_KEY {
        return Ok(key);
    }
    let bytes = key.len();
    Err(EnqueueError::Invalid(format!(
        "a key has {bytes} bytes, more than the limit of {LONGEST_KEY}; use a hash of it"
    )))
}

/// What became of a request to store a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued(pub(crate) EnqueueOutcome);

impl Enqueued {
    /// Returns the id of the job: of the new one, or of the one that holds the unique key.
    pub fn id(&self) -> i64 {
        match self.0 {
            EnqueueOutcome::New(id) | EnqueueOutcome::Existing(id) | EnqueueOutcome::Replaced(id) => id,
        }
    }

    /// Returns `true` if a new job was stored.
    pub fn is_new(&self) -> bool {
        matches!(self.0, EnqueueOutcome::New(_))
    }

    /// Returns `true` if a waiting job was replaced. See [`Enqueue::replace`].
    pub fn is_replaced(&self) -> bool {
        matches!(self.0, EnqueueOutcome::Replaced(_))
    }
}
