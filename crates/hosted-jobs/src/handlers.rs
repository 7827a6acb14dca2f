//! Which function runs which kind of job.

use crate::context::JobContext;
use crate::error::Result;
use crate::job::{Job, Options};
use crate::store::KindVersion;
use serde::de::DeserializeOwned;
use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// The functions that run jobs: one for each kind.
///
/// A worker takes only jobs of kinds that are registered here, in versions that are not newer than the registered
/// type. It never touches other jobs, so the order in which programs are upgraded does not matter.
///
/// ```
/// use hosted_jobs::{Handlers, Job, JobContext};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Mail { to: String, subject: String }
/// impl Job for Mail {
///     const KIND: &'static str = "mail";
///     const VERSION: u32 = 2;
/// }
///
/// #[derive(Deserialize)]
/// struct MailV1 { to: String }
///
/// let handlers = Handlers::new()
///     .handle(|mail: Mail, _: &JobContext| { println!("to {}", mail.to); Ok(()) })
///     .alias("send_mail")                                     // jobs that were stored under this name
///     .handle_version(1, |old: MailV1| Mail { to: old.to, subject: String::new() })
///     .queues(["mail", "default"]);
/// # let _ = handlers;
/// ```
#[derive(Clone, Default)]
#[must_use = "handlers do nothing until workers run them"]
pub struct Handlers {
    by_kind: HashMap<String, Arc<Handler>>,
    /// By kind and version: what makes the current type of an older one.
    upgrades: HashMap<(String, u32), Arc<Upgrade>>,
    queues: Option<Vec<String>>,
    /// The kind that was registered last, which `alias` is about.
    last: Option<String>,
    wrong: Vec<String>,
}

/// The handler of a kind.
pub(crate) struct Handler {
    pub(crate) kind: &'static str,
    pub(crate) version: u32,
    pub(crate) options: Options,
    run: Box<Run>,
}

type Run = dyn Fn(Payload<'_>, &JobContext) -> RunOutcome + Send + Sync;
type Upgrade = dyn Fn(&[u8]) -> Result<Box<dyn Any>, String> + Send + Sync;

/// What a handler is given.
enum Payload<'p> {
    Bytes(&'p [u8]),
    /// A value of the handler's type, made of an older version.
    Upgraded(Box<dyn Any>),
}

/// What calling a handler came to.
pub(crate) enum RunOutcome {
    Returned(Result),
    /// The payload is not of the handler's type.
    NotDecoded(String),
}

impl Handlers {
    /// Creates an empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers the function that runs jobs of type `J`.
    ///
    /// A second function for the same kind is an error of the start of the workers.
    pub fn handle<J, F>(mut self, f: F) -> Self
    where
        J: Job,
        F: Fn(J, &JobContext) -> Result + Send + Sync + 'static,
    {
        let run = move |payload: Payload<'_>, ctx: &JobContext| {
            let job = match payload {
                Payload::Bytes(bytes) => serde_json::from_slice(bytes).map_err(|error| error.to_string()),
                Payload::Upgraded(value) => match value.downcast::<J>() {
                    Ok(job) => Ok(*job),
                    Err(_) => Err("`handle_version` made a value of another type".to_owned()),
                },
            };
            match job {
                Ok(job) => RunOutcome::Returned(f(job, ctx)),
                Err(error) => RunOutcome::NotDecoded(error),
            }
        };
        let handler = Handler { kind: J::KIND, version: J::VERSION, options: J::options(), run: Box::new(run) };
        self.last = Some(J::KIND.to_owned());
        if J::KIND.is_empty() || J::VERSION == 0 {
            self.wrong.push(format!("kind `{}` needs a name, and a version above 0", J::KIND));
        }
        self.add(J::KIND, Arc::new(handler));
        self
    }

    /// Registers how a job of an older version becomes one of the current type.
    ///
    /// Without this, the data of an older version is read as the current type.
    pub fn handle_version<Old, J>(mut self, version: u32, upgrade: impl Fn(Old) -> J + Send + Sync + 'static) -> Self
    where
        Old: DeserializeOwned,
        J: Job,
    {
        if version == 0 || version >= J::VERSION {
            let newest = J::VERSION;
            self.wrong.push(format!("version {version} of kind `{}` is not older than version {newest}", J::KIND));
        }
        let upgrade = move |bytes: &[u8]| -> Result<Box<dyn Any>, String> {
            let old = serde_json::from_slice::<Old>(bytes).map_err(|error| error.to_string())?;
            Ok(Box::new(upgrade(old)))
        };
        if self.upgrades.insert((J::KIND.to_owned(), version), Arc::new(upgrade)).is_some() {
            self.wrong.push(format!("version {version} of kind `{}` has two functions", J::KIND));
        }
        self
    }

    /// Registers another name of the kind that was registered last: jobs that were stored before a rename.
    pub fn alias(mut self, kind: impl Into<String>) -> Self {
        let kind = kind.into();
        match self.last.as_ref().and_then(|last| self.by_kind.get(last)).cloned() {
            Some(handler) => self.add(&kind, handler),
            None => self.wrong.push(format!("the alias `{kind}` follows no `handle`")),
        }
        self
    }

    /// Serves only these queues. Without this, every queue is served.
    ///
    /// Each queue that has work gets an equal share of the claims. Use two sets of workers to keep threads apart for a
    /// queue.
    pub fn queues<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.queues = Some(names.into_iter().map(Into::into).collect());
        self
    }

    fn add(&mut self, kind: &str, handler: Arc<Handler>) {
        if self.by_kind.insert(kind.to_owned(), handler).is_some() {
            self.wrong.push(format!("kind `{kind}` has two handlers"));
        }
    }

    /// Returns what is wrong with the set.
    pub(crate) fn check(&self) -> Result<(), HandlersError> {
        let mut wrong = self.wrong.clone();
        if self.by_kind.is_empty() {
            wrong.push("there is no handler; add one with `Handlers::handle`".to_owned());
        }
        if self.queues.as_ref().is_some_and(|queues| queues.is_empty() || queues.iter().any(String::is_empty)) {
            wrong.push("`queues` needs at least one name, and no empty one".to_owned());
        }
        for (kind, version) in self.upgrades.keys() {
            if !self.by_kind.contains_key(kind) {
                wrong.push(format!("version {version} of kind `{kind}` has a function, but the kind has no handler"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(HandlersError(wrong.join("; "))) }
    }

    pub(crate) fn queue_names(&self) -> Option<&[String]> {
        self.queues.as_deref()
    }

    /// Every kind in every version that can be handled.
    pub(crate) fn kinds(&self) -> Vec<KindVersion> {
        let each = |(kind, handler): (&String, &Arc<Handler>)| {
            let kind = kind.clone();
            (1..=handler.version).map(move |version| KindVersion { kind: kind.clone(), version })
        };
        let mut kinds: Vec<KindVersion> = self.by_kind.iter().flat_map(each).collect();
        kinds.sort_by(|a, b| (&a.kind, a.version).cmp(&(&b.kind, b.version)));
        kinds
    }

    /// The kinds with the newest version of each, as JSON for the table of workers.
    pub(crate) fn kinds_text(&self) -> String {
        let mut kinds: Vec<(&String, u32)> =
            self.by_kind.iter().map(|(kind, handler)| (kind, handler.version)).collect();
        kinds.sort();
        // Strings and numbers always serialize.
        serde_json::to_string(&kinds).unwrap_or_default()
    }

    pub(crate) fn handler(&self, kind: &str) -> Option<&Arc<Handler>> {
        self.by_kind.get(kind)
    }

    /// Calls the handler. It may panic: the caller catches that.
    pub(crate) fn run(&self, handler: &Handler, version: u32, bytes: &[u8], ctx: &JobContext) -> RunOutcome {
        let is_old = version < handler.version && !self.upgrades.is_empty();
        let upgrade = if is_old { self.upgrades.get(&(handler.kind.to_owned(), version)) } else { None };
        let payload = match upgrade {
            Some(upgrade) => match upgrade(bytes) {
                Ok(value) => Payload::Upgraded(value),
                Err(error) => return RunOutcome::NotDecoded(error),
            },
            None => Payload::Bytes(bytes),
        };
        (handler.run)(payload, ctx)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").field("kinds", &self.kinds_text()).field("queues", &self.queues).finish()
    }
}

/// What is wrong with a set of handlers, in one sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlersError(String);

impl fmt::Display for HandlersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid handlers: {}", self.0)
    }
}

impl std::error::Error for HandlersError {}
