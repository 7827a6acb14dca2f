//! `ServiceError`: the failure of one service. Also `Result` and `BoxError`, which every service uses.

use crate::stop::StopMarker;
use crate::util::log::log_line;
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::sync::Arc;
use crate::util::text::{Escaped, HumanDuration};
use log::Level;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Any error. In the methods of a service, `?` converts every error into this type.
///
/// ```
/// fn port(text: &str) -> Result<u16, hosted::BoxError> {
///     Ok(text.parse()?)
/// }
/// assert_eq!(port("x").unwrap_err().to_string(), "invalid digit found in string");
/// ```
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The result of the methods of a service: `Ok(())`, or any error.
///
/// ```
/// use hosted::Context;
///
/// fn run(ctx: &Context) -> hosted::Result {
///     let port: u16 = std::env::var("PORT").unwrap_or("80".to_owned()).parse()?;
///     ctx.check()?;
///     println!("listening on {port}");
///     Ok(())
/// }
/// # let _ = run;
/// ```
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// How many errors of a source chain are inspected. `source` is user code: an error that returns itself as its source would
/// make the chain endless.
const MAX_SOURCE_DEPTH: usize = 100;

/// Iterates over an error, its source, the source of that source, and so on.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns `true` if the error means "stop requested": a [`Stopped`](crate::Stopped) is among the first 99 errors of its
/// [source](Error::source) chain.
///
/// Use it in a service that calls other code and handles the errors of that code. If the stop of the service was requested,
/// return such an error with `?`, so that the service stops cleanly. Handle every other error. [`every`](crate::every) treats
/// the errors of its ticks like this.
///
/// A [`ServiceError`] ends the search, because it is the failure of another service, which the host of that service has already
/// judged. An error whose `source` panics does not mean "stop requested".
///
/// ```
/// use hosted::{BoxError, StopSource, is_stop_error};
/// use std::io;
///
/// let stop = StopSource::new();
/// stop.request_stop();
/// let stopped: BoxError = io::Error::other(stop.token().check().unwrap_err()).into();
/// let broken: BoxError = "connection refused".into();
/// assert!(is_stop_error(&*stopped));
/// assert!(!is_stop_error(&*broken));
/// ```
#[doc(alias = "OperationCanceledException")]
pub fn is_stop_error(error: &(dyn Error + 'static)) -> bool {
    let search = || {
        let mut errors = chain(error).take(MAX_SOURCE_DEPTH).take_while(|error| !error.is::<ServiceError>());
        errors.any(|error| error.is::<StopMarker>())
    };
    // An error whose `source` panics counts as a failure.
    catch_panic(search).unwrap_or(false)
}

/// The failure of one service: its name, the phase in which it failed, and the cause.
///
/// `Display` prints all three on one line. [`source`](Error::source) is the error that the service returned. Clones are cheap.
///
/// ```
/// use hosted::{Host, Phase, worker};
///
/// let mut host = Host::new();
/// host.add("importer", worker(|_| Err("connection refused".into())));
/// let error = host.run().unwrap_err();
/// let failure = &error.failures()[0];
/// assert_eq!((failure.service(), failure.phase()), ("importer", Phase::Run));
/// assert_eq!(failure.to_string(), "service `importer` failed while running: connection refused");
/// ```
#[derive(Clone)]
pub struct ServiceError(Arc<Inner>);

struct Inner {
    service: Arc<str>,
    phase: Phase,
    cause: Cause,
    /// The text of `Display`. It is created once, with no lock held, because the `Display` of the cause is user code.
    text: String,
}

impl ServiceError {
    pub(crate) fn new(service: Arc<str>, phase: Phase, cause: Cause) -> Self {
        let text = failure_text(&service, phase, &cause);
        ServiceError(Arc::new(Inner { service, phase, cause, text }))
    }

    /// Returns the name of the service.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    pub(crate) fn shared_service(&self) -> Arc<str> {
        self.0.service.clone()
    }

    /// Returns the phase in which the service failed.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Returns the cause of the failure.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }
}

fn failure_text(service: &str, phase: Phase, cause: &Cause) -> String {
    let (service, doing) = (Escaped(service), phase.doing());
    match cause {
        Cause::Failed(error) => format!("service `{service}` failed {doing}: {}", error_chain_text(&**error)),
        Cause::Panicked(text) => format!("service `{service}` panicked {doing}: {}", Escaped(text)),
        Cause::TimedOut(time) if phase == Phase::Start => {
            format!("service `{service}` did not start within {}", HumanDuration(*time))
        }
        Cause::TimedOut(time) => {
            let (place, time) = (phase.place(), HumanDuration(*time));
            format!("service `{service}` was still in {place} {time} after the stop request")
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error for ServiceError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.cause() {
            Cause::Failed(error) => Some(&**error),
            Cause::Panicked(_) | Cause::TimedOut(_) => None,
        }
    }
}

/// The phase of a service in which something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// In [`Service::start`](crate::Service::start).
    Start,
    /// In [`Service::run`](crate::Service::run).
    Run,
    /// In [`Service::stop`](crate::Service::stop).
    Stop,
    /// In a callback on the stop token of the service.
    Callback,
    /// In the drop of the service's value, or of the thread-local values of its thread.
    Drop,
}

impl Phase {
    fn doing(self) -> &'static str {
        match self {
            Phase::Start => "while starting",
            Phase::Run => "while running",
            Phase::Stop => "while stopping",
            Phase::Callback => "in a stop callback",
            Phase::Drop => "while being dropped",
        }
    }

    /// Returns where the thread is in this phase, for a sentence: `still in …`.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Phase::Start => "`start`",
            Phase::Run => "`run`",
            Phase::Stop => "`stop`",
            Phase::Callback => "a stop callback",
            Phase::Drop => "`drop`",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Start => "start",
            Phase::Run => "run",
            Phase::Stop => "stop",
            Phase::Callback => "callback",
            Phase::Drop => "drop",
        })
    }
}

/// The cause of a service's failure.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The service returned this error.
    Failed(BoxError),
    /// The service panicked, with this message.
    Panicked(String),
    /// The service did not start or stop within this time.
    TimedOut(Duration),
}

/// Returns an error and its sources as one line, with control characters escaped. Text that is on the line already is not
/// repeated: see [`new_part`].
///
/// Calls user code, so the caller must not hold a lock.
pub(crate) fn error_chain_text(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let formatted = catch_panic(|| {
        let mut last = error.to_string();
        text += &last;
        let mut errors = chain(error);
        for error in errors.by_ref().take(MAX_SOURCE_DEPTH).skip(1).filter(|error| !error.is::<StopMarker>()) {
            let source = error.to_string();
            if let Some(part) = new_part(&text, &last, &source) {
                append(&mut text, part);
            }
            last = source;
        }
        if errors.next().is_some() {
            append(&mut text, "(source chain truncated)");
        }
    });
    if let Err(panic) = formatted {
        append(&mut text, &format!("(formatting this error panicked: {panic})"));
    }
    Escaped(&text).to_string()
}

/// Appends `part` to the line `text`, after a colon if the line is not empty.
fn append(text: &mut String, part: &str) {
    if !text.is_empty() {
        text.push_str(": ");
    }
    text.push_str(part);
}

/// Returns the part of `source` that `line` does not have yet, or `None` if there is no such part. `source` is the text of an
/// error's source, and `last` is the text of that error.
///
/// Many errors print their source themselves (`anyhow`, `io::Error`). In `rusqlite` it is the other way round: the source of
/// "database is locked" is "Error code 5: database is locked".
fn new_part<'s>(line: &str, last: &str, source: &'s str) -> Option<&'s str> {
    if has_words(line, source) {
        return None;
    }
    let before = source.strip_suffix(last).and_then(|rest| rest.strip_suffix(": "));
    let after = source.strip_prefix(last).and_then(|rest| rest.strip_prefix(": "));
    Some(before.or(after).filter(|_| !last.is_empty()).unwrap_or(source))
}

/// Returns `true` if `line` contains `words` as whole words: "ratio" does not contain "io".
fn has_words(line: &str, words: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + words.len()..]);
        let begins_inside = is_letter(before.chars().next_back()) && is_letter(words.chars().next());
        let ends_inside = is_letter(words.chars().next_back()) && is_letter(after.chars().next());
        !begins_inside && !ends_inside
    })
}

/// Drops an error. The `Drop` of the error is user code, so a panic in it is caught and logged.
pub(crate) fn drop_error<E>(error: E) {
    if let Err(text) = drop_catching_panic(error) {
        log_line(Level::Error, "hosted::service", format_args!("panic while dropping an error: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error chain with these texts, from the outermost error to the last source.
    #[derive(Debug)]
    struct Link(&'static [&'static str], Option<Box<Link>>);

    impl Link {
        fn of(texts: &'static [&'static str]) -> Link {
            Link(texts, (texts.len() > 1).then(|| Box::new(Link::of(&texts[1..]))))
        }
    }

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0[0])
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as &(dyn Error + 'static))
        }
    }

    #[test]
    fn a_source_adds_only_text_that_the_line_does_not_have() {
        let cases: [(&[&str], &str); 9] = [
            (&["cannot store", "disk full"], "cannot store: disk full"),
            (&["cannot store: disk full", "disk full"], "cannot store: disk full"),
            (&["disk full while storing", "disk full"], "disk full while storing"),
            (&["cannot store", "disk full (no room)", "no room"], "cannot store: disk full (no room)"),
            (&["database is locked", "Error code 5: database is locked"], "database is locked: Error code 5"),
            (&["database is locked", "database is locked: by 7"], "database is locked: by 7"),
            (&["the ratio is wrong", "io"], "the ratio is wrong: io"),
            (&["no answer", "", "timeout"], "no answer: timeout"),
            (&["", "timeout"], "timeout"),
        ];
        for (texts, line) in cases {
            assert_eq!(error_chain_text(&Link::of(texts)), line, "{texts:?}");
        }
    }
}
