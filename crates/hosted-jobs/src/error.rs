//! Every error of the crate, and what a handler returns.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use hosted::BoxError;

/// What a handler returns: `Ok(())`, or a [`JobError`]. `?` turns any error into a `JobError`.
pub type Result<T = (), E = JobError> = std::result::Result<T, E>;

/// Why a handler did not finish its job, and what should happen to the job.
///
/// Any error becomes a `JobError` by `?`, and means: the job has failed, retry it by the policy of its options.
/// Like `anyhow::Error`, this type is not itself an [`Error`], so that the conversion can exist.
///
/// ```
/// use hosted_jobs::{JobError, Result};
/// use std::time::Duration;
///
/// fn charge(status: u16) -> Result {
///     match status {
///         200 => Ok(()),
///         404 => Err(JobError::dead("no such customer")),
///         429 => Err(JobError::retry_in(Duration::from_secs(60), "too many requests")),
///         _ => Err(format!("status {status}").into()),
///     }
/// }
/// # assert!(charge(404).is_err());
/// ```
pub struct JobError(pub(crate) Failure);

/// What a handler wants to happen to its job.
pub(crate) enum Failure {
    Retry(BoxError),
    RetryIn(Duration, BoxError),
    Dead(BoxError),
    Snooze(Duration),
    Cancelled,
}

impl JobError {
    /// Makes the job dead at once. Use it if a retry cannot help.
    pub fn dead(error: impl Into<BoxError>) -> Self {
        JobError(Failure::Dead(error.into()))
    }

    /// Runs the job again after exactly `wait`. The failure counts.
    pub fn retry_in(wait: Duration, error: impl Into<BoxError>) -> Self {
        JobError(Failure::RetryIn(wait, error.into()))
    }

    /// Runs the job again after exactly `wait`. Nothing is counted as a failure.
    pub fn snooze(wait: Duration) -> Self {
        JobError(Failure::Snooze(wait))
    }

    /// Ends the job as cancelled.
    pub fn cancelled() -> Self {
        JobError(Failure::Cancelled)
    }
}

impl<E: Into<BoxError>> From<E> for JobError {
    fn from(error: E) -> Self {
        JobError(Failure::Retry(error.into()))
    }
}

impl fmt::Debug for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Retry(error) => write!(f, "retry: {error}"),
            Failure::RetryIn(wait, error) => write!(f, "retry in {wait:?}: {error}"),
            Failure::Dead(error) => write!(f, "dead: {error}"),
            Failure::Snooze(wait) => write!(f, "snooze for {wait:?}"),
            Failure::Cancelled => f.write_str("cancelled"),
        }
    }
}

/// What happens to a failed job. See [`Options::on_error`](crate::Options::on_error).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// Retry it by the backoff of its options. The failure counts.
    Retry,
    /// Retry it after exactly this time. The failure counts.
    RetryIn(Duration),
    /// The job is dead.
    Dead,
    /// Run it again after exactly this time. Nothing is counted.
    Snooze(Duration),
}

/// The error of an operation on the store.
///
/// `Display` says what failed and why, on one line.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Option<BoxError>,
}

#[derive(Debug, Clone)]
pub(crate) enum StoreErrorKind {
    /// Another connection held the write lock for this long.
    Busy(Duration),
    /// The transaction began with a read, and somebody has written since.
    ReadFirst,
    /// The database failed.
    Failed(&'static str),
    /// The store does not offer this.
    Unsupported(&'static str),
    /// The answer did not come in time. Whether the operation was done is unknown.
    NoAnswer,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind) -> Self {
        StoreError { kind, source: None }
    }

    pub(crate) fn failed(doing: &'static str, source: impl Into<BoxError>) -> Self {
        StoreError { kind: StoreErrorKind::Failed(doing), source: Some(source.into()) }
    }

    pub(crate) fn with_source(self, source: impl Into<BoxError>) -> Self {
        StoreError { source: Some(source.into()), ..self }
    }

    /// Returns `true` if the store was locked by another connection for too long. A later try may succeed.
    pub fn is_busy(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Busy(_) | StoreErrorKind::NoAnswer)
    }

    /// The same error once more, for each of the operations that failed together.
    pub(crate) fn duplicate(&self) -> Self {
        let source = self.source.as_ref().map(|source| BoxError::from(source.to_string()));
        StoreError { kind: self.kind.clone(), source }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            StoreErrorKind::Busy(time) => write!(
                f,
                "the store was locked by another connection for {:.1} s; if this thread has an open transaction on the \
                 same file, use `enqueue_on` with it",
                time.as_secs_f64()
            )?,
            StoreErrorKind::ReadFirst => f.write_str(
                "this transaction began with a read and cannot become a write; begin it with `BEGIN IMMEDIATE`",
            )?,
            StoreErrorKind::Failed(doing) => write!(f, "cannot {doing}")?,
            StoreErrorKind::Unsupported(what) => write!(f, "this store does not support {what}")?,
            StoreErrorKind::NoAnswer => {
                f.write_str("the store did not answer in time; whether the operation was done is unknown")?;
            }
        }
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Why a job was not stored. Nothing was written.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The payload has more bytes than the store accepts.
    TooLarge {
        /// The size of the payload.
        bytes: usize,
        /// The limit of the store.
        limit: usize,
    },
    /// The job, or its key, does not serialize.
    Encode(String),
    /// A value of the request is not valid: an empty queue name, a key that is too long.
    Invalid(String),
    /// The store was locked by another connection for too long.
    Contended(StoreError),
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for EnqueueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnqueueError::TooLarge { bytes, limit } => write!(
                f,
                "the payload has {bytes} bytes, more than the limit of {limit}; store the data elsewhere and enqueue a \
                 reference, or raise the limit with `Builder::max_payload`"
            ),
            EnqueueError::Encode(why) => {
                write!(f, "the job does not serialize: {why}; change the field that JSON cannot represent")
            }
            EnqueueError::Invalid(why) => write!(f, "invalid job: {why}"),
            EnqueueError::Contended(error) | EnqueueError::Store(error) => write!(f, "cannot enqueue: {error}"),
        }
    }
}

impl Error for EnqueueError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            EnqueueError::Contended(error) | EnqueueError::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for EnqueueError {
    fn from(error: StoreError) -> Self {
        if error.is_busy() { EnqueueError::Contended(error) } else { EnqueueError::Store(error) }
    }
}

/// Why a store could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A newer program has changed the tables, and this program does not know the new form.
    NewerSchema {
        /// The version of the tables.
        found: u32,
        /// The oldest version of this library that can use them.
        needed: u32,
        /// The version that this program knows.
        known: u32,
    },
    /// The tables are older than this program, or missing (version 0), and the settings forbid to change them.
    OlderSchema {
        /// The version of the tables. 0: there are none.
        found: u32,
        /// The version that this program knows.
        known: u32,
    },
    /// The file does not exist, and the settings forbid to create it.
    NotFound(PathBuf),
    /// The file is no SQLite database.
    NotADatabase(PathBuf),
    /// The file, or its directory, cannot be written.
    ReadOnly(PathBuf),
    /// The file is on a network file system, where the locks of SQLite do not work.
    NetworkFileSystem(PathBuf, &'static str),
    /// A setting is not valid.
    Invalid(String),
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::NewerSchema { found, needed, known } => write!(
                f,
                "the tables have version {found}, which needs a program that knows version {needed}; this program \
                 knows version {known}: upgrade it"
            ),
            OpenError::OlderSchema { found: 0, .. } => {
                f.write_str("the database has no tables for jobs; run `hosted-jobs migrate`, or check the table prefix")
            }
            OpenError::OlderSchema { found, known } => write!(
                f,
                "the tables have version {found}, and this program needs version {known}; run `hosted-jobs migrate`"
            ),
            OpenError::NotFound(path) => {
                write!(f, "`{}` does not exist; check the path, or run `hosted-jobs migrate`", path.display())
            }
            OpenError::NotADatabase(path) => {
                write!(f, "`{}` is not a SQLite database; choose another file", path.display())
            }
            OpenError::ReadOnly(path) => write!(
                f,
                "`{}` cannot be written; the file and its directory must be writable for this user",
                path.display()
            ),
            OpenError::NetworkFileSystem(path, name) => write!(
                f,
                "`{}` is on a network file system ({name}), where the locks of SQLite do not work; use a local disk",
                path.display()
            ),
            OpenError::Invalid(why) => write!(f, "invalid setting: {why}"),
            OpenError::Store(error) => write!(f, "cannot open the store: {error}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            OpenError::Store(error) => Some(error),
            _ => None,
        }
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        OpenError::Store(error)
    }
}

/// The job no longer belongs to this run: the store has given it to another one, or it has ended.
///
/// Nothing was written. Returned from a handler by `?`, the run ends without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostClaim;

impl fmt::Display for LostClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this run no longer holds its job")
    }
}

impl Error for LostClaim {}

/// Why an operation of a running job failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// This run no longer holds its job. Nothing was written.
    LostClaim(LostClaim),
    /// A value does not serialize, or the stored value has another type.
    Encode(String),
    /// The store failed.
    Store(StoreError),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::LostClaim(lost) => lost.fmt(f),
            RunError::Encode(why) => write!(f, "cannot convert the value: {why}"),
            RunError::Store(error) => error.fmt(f),
        }
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RunError::LostClaim(lost) => Some(lost),
            RunError::Store(error) => Some(error),
            RunError::Encode(_) => None,
        }
    }
}

impl From<LostClaim> for RunError {
    fn from(lost: LostClaim) -> Self {
        RunError::LostClaim(lost)
    }
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        RunError::Store(error)
    }
}
