//! What became of one service, as an error: `ServiceError`, and the two aliases that every service uses.

use crate::stop::StopMarker;
use crate::util::log::log_line;
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::sync::Arc;
use crate::util::text::Escaped;
use log::Level;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// Any error of a service's own: what `?` makes of whatever went wrong.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What a service's methods return: `Ok(())`, or any error.
pub type Result<T = (), E = BoxError> = std::result::Result<T, E>;

/// How many errors of a chain are looked at. `source` is foreign code: one that gives itself never ends.
const DEEP: usize = 100;

/// An error, its source, the source of that.
fn links<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether `error` says, anywhere in its chain, that it is there because of a stop. What became of another service
/// has been judged already: a `ServiceError` is a failure, whatever is below it.
pub(crate) fn is_stop_error(error: &(dyn Error + 'static)) -> bool {
    let look = || {
        let mut links = links(error).take(DEEP).take_while(|error| !error.is::<ServiceError>());
        links.any(|error| error.is::<StopMarker>())
    };
    // One that panics says nothing of a stop.
    catch_panic(look).unwrap_or(false)
}

/// What went wrong in one service: who, in which phase, and why.
///
/// Cheap to clone. `Display` names all three, on one line; [`source`](Error::source) is the service's own error.
#[derive(Clone)]
pub struct ServiceError(Arc<Inner>);

struct Inner {
    service: Arc<str>,
    phase: Phase,
    cause: Cause,
    /// What it says. Made once, where no lock is held: an error's `Display` is foreign code.
    text: String,
}

impl ServiceError {
    pub(crate) fn new(service: Arc<str>, phase: Phase, cause: Cause) -> Self {
        let text = sentence(&service, phase, &cause);
        ServiceError(Arc::new(Inner { service, phase, cause, text }))
    }

    /// The name of the service.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// What the service was doing.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// What happened.
    pub fn cause(&self) -> &Cause {
        &self.0.cause
    }
}

fn sentence(service: &str, phase: Phase, cause: &Cause) -> String {
    let (service, doing) = (Escaped(service), phase.doing());
    match cause {
        Cause::Failed(error) => format!("service `{service}` failed {doing}: {}", chain(&**error)),
        Cause::Panicked(text) => format!("service `{service}` panicked {doing}: {}", Escaped(text)),
        Cause::TimedOut(time) if phase == Phase::Start => {
            format!("service `{service}` had not started after {time:.1?}")
        }
        Cause::TimedOut(time) => {
            format!("service `{service}` was still in its {phase} {time:.1?} after it was asked to stop")
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

/// What a service was doing when something happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// In [`Service::start`](crate::Service::start).
    Start,
    /// In [`Service::run`](crate::Service::run).
    Run,
    /// In [`Service::stop`](crate::Service::stop).
    Stop,
    /// In a callback on its stop token.
    Callback,
    /// Dropping the service's value, or its thread's thread-local values.
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

/// What happened to a service that did not end well.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// It returned this error.
    Failed(BoxError),
    /// It panicked, with this message.
    Panicked(String),
    /// It was not done within this time.
    TimedOut(Duration),
}

/// An error and its sources on one line, plain. Text that the line has already is not repeated: see [`news`].
///
/// Calls foreign code: never under a lock.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let told = catch_panic(|| {
        let mut last = error.to_string();
        text += &last;
        let mut links = links(error);
        for error in links.by_ref().take(DEEP).skip(1).filter(|error| !error.is::<StopMarker>()) {
            let more = error.to_string();
            if let Some(news) = news(&text, &last, &more) {
                let lead = if text.is_empty() { "" } else { ": " };
                text += &format!("{lead}{news}");
            }
            last = more;
        }
        if links.next().is_some() {
            text += ": and so on";
        }
    });
    if let Err(panic) = told {
        let lead = if text.is_empty() { "" } else { ": " };
        text += &format!("{lead}an error that panics when it is looked at: {panic}");
    }
    Escaped(&text).to_string()
}

/// The part of `more`, the text of a source, that a line which ends with the text `last` of the error above does not
/// have yet. Many errors print their source themselves (`anyhow`, `io::Error`), and `rusqlite`'s source prints the
/// error: "database is locked" comes from "Error code 5: database is locked".
fn news<'m>(line: &str, last: &str, more: &'m str) -> Option<&'m str> {
    if has_words(line, more) {
        return None;
    }
    let before = more.strip_suffix(last).and_then(|rest| rest.strip_suffix(": "));
    let after = more.strip_prefix(last).and_then(|rest| rest.strip_prefix(": "));
    Some(before.or(after).filter(|_| !last.is_empty()).unwrap_or(more))
}

/// Whether `words` stand in `line`, and not only as a part of longer words: "io" is not in "ratio".
fn has_words(line: &str, words: &str) -> bool {
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    line.match_indices(words).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + words.len()..]);
        let begins_inside = joins(before.chars().next_back()) && joins(words.chars().next());
        let ends_inside = joins(words.chars().next_back()) && joins(after.chars().next());
        !begins_inside && !ends_inside
    })
}

/// Drops an error. Its `Drop` is foreign code: a panic of it is logged, and ends nothing.
pub(crate) fn drop_error<E>(error: E) {
    if let Err(text) = drop_catching_panic(error) {
        log_line(Level::Error, "hosted::service", format_args!("dropping an error panicked: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with these texts, from the outermost to its last source.
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
    fn a_source_adds_only_what_the_line_does_not_say_already() {
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
            assert_eq!(chain(&Link::of(texts)), line, "{texts:?}");
        }
    }
}
