//! What is checked before any thread exists, and who comes after whom.

use super::names::Names;
use super::options::ServiceOptions;
use crate::service::Service;
use crate::stop::StopSource;
use crate::util::sync::Arc;
use crate::util::sync::thread::JoinHandle;
use crate::util::text::Escaped;
use std::error::Error;
use std::{fmt, io};

/// A service as the host owns it.
pub(super) struct HostedService {
    /// As it was added: without the group's name before it.
    pub(super) name: Arc<str>,
    pub(super) options: ServiceOptions,
    /// Until its thread has it.
    pub(super) service: Option<Box<dyn Service>>,
    /// Until a reaper has it.
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) source: StopSource,
    /// The services it comes after, by their place.
    pub(super) after: Vec<usize>,
}

/// Why a host cannot start.
#[derive(Debug)]
pub(super) enum SetupError {
    EmptyName(usize),
    NulInName(Arc<str>),
    DuplicateName(Arc<str>),
    UnknownName { service: Arc<str>, after: Arc<str> },
    Flaw { service: Arc<str>, flaw: String },
    RanBefore,
    AddedLate(Arc<str>),
    NoThread { service: Arc<str>, error: io::Error },
    NoSignals(io::Error),
}

impl SetupError {
    /// The service it is about.
    pub(super) fn culprit(&self) -> Option<&Arc<str>> {
        match self {
            SetupError::NulInName(service)
            | SetupError::DuplicateName(service)
            | SetupError::UnknownName { service, .. }
            | SetupError::Flaw { service, .. }
            | SetupError::AddedLate(service)
            | SetupError::NoThread { service, .. } => Some(service),
            SetupError::EmptyName(_) | SetupError::RanBefore | SetupError::NoSignals(_) => None,
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Escaped(self.culprit().map_or("", |name| name));
        match self {
            SetupError::EmptyName(place) => write!(f, "service number {place} has an empty name"),
            SetupError::NulInName(_) => {
                write!(f, "the name of service `{name}` has a NUL in it, which a thread's name cannot have")
            }
            SetupError::DuplicateName(_) => write!(f, "two services are named `{name}`: each needs a name of its own"),
            SetupError::UnknownName { after, .. } => {
                write!(
                    f,
                    "service `{name}` comes after `{}`, and none of that name was added before it",
                    Escaped(after)
                )
            }
            SetupError::Flaw { flaw, .. } => write!(f, "service `{name}` cannot run: {flaw}"),
            SetupError::RanBefore => {
                f.write_str("a host runs once, and this one has been started or stopped before: make a new one")
            }
            SetupError::AddedLate(_) => {
                write!(
                    f,
                    "service `{name}` was added after the start and never runs: a host runs once; create a new `Host`"
                )
            }
            SetupError::NoThread { error, .. } => write!(f, "no thread is to be had for service `{name}`: {error}"),
            SetupError::NoSignals(error) => {
                write!(f, "{error}: a program with a handler of its own calls run_until or HostHandle::request_stop")
            }
        }
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SetupError::NoThread { error, .. } | SetupError::NoSignals(error) => Some(error),
            _ => None,
        }
    }
}

/// Checks every service and fills in whom it comes after. `names` are those of all entries.
pub(super) fn plan(entries: &mut [HostedService], names: &Names) -> Result<(), SetupError> {
    // The last service that comes after all before it: who comes after it comes after those too.
    let mut barrier = 0;
    for (place, entry) in entries.iter_mut().enumerate() {
        check(place, entry)?;
        if entry.options.after.is_given() {
            let unknown = |after| SetupError::UnknownName { service: entry.name.clone(), after };
            entry.after = entry.options.after.places_before(place, names).map_err(unknown)?;
        } else {
            entry.after = (barrier..place).collect();
            barrier = place;
        }
        if names.place(&entry.name).is_some_and(|first| (first as usize) < place) {
            return Err(SetupError::DuplicateName(entry.name.clone()));
        }
    }
    // A host starts once: what the options say of the order is not needed any more, and may be large.
    entries.iter_mut().for_each(|entry| entry.options.after = Default::default());
    Ok(())
}

fn check(place: usize, entry: &HostedService) -> Result<(), SetupError> {
    let service = entry.name.clone();
    if service.is_empty() {
        return Err(SetupError::EmptyName(place + 1));
    }
    if service.contains('\0') {
        return Err(SetupError::NulInName(service));
    }
    let own = entry.service.as_ref().and_then(|service| service.flaw());
    match own.or_else(|| entry.options.restart.flaw()) {
        Some(flaw) => Err(SetupError::Flaw { service, flaw }),
        None => Ok(()),
    }
}
