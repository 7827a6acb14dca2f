//! Checks a host before any thread exists, and determines the dependencies of each service.

use super::names::Names;
use super::options::ServiceOptions;
use crate::registry::{MemberSlot, ServiceId};
use crate::report::{BoxError, Result, error_chain_text};
use crate::service::Service;
use crate::stop::StopSource;
use crate::util::panic::catch_panic;
use crate::util::sync::Arc;
use crate::util::sync::thread::JoinHandle;
use crate::util::text::Escaped;
use std::error::Error;
use std::{fmt, io};

/// A service as the host owns it.
pub(super) struct HostedService {
    /// The name as it was added, without the name of the group before it.
    pub(super) name: Arc<str>,
    pub(super) options: ServiceOptions,
    /// The value of the service, until its thread takes it.
    pub(super) service: Option<Box<dyn Service>>,
    /// The thread of the service, until a reaper takes it.
    pub(super) thread: Option<JoinHandle<()>>,
    pub(super) source: StopSource,
    /// If the service is a member of a dynamic group.
    pub(super) member: Option<Arc<MemberSlot>>,
}

impl HostedService {
    /// A place without a service.
    pub(super) fn vacant() -> Self {
        let (options, source) = (ServiceOptions::default(), StopSource::new());
        HostedService { name: Arc::from(""), options, service: None, thread: None, source, member: None }
    }
}

/// Why a host cannot start.
#[derive(Debug)]
pub(super) enum SetupError {
    EmptyName(usize),
    NulInName(Arc<str>),
    DuplicateName(Arc<str>),
    UnknownName { service: Arc<str>, after: Arc<str> },
    Invalid { service: Arc<str>, why: BoxError },
    RanBefore,
    AddedLate(Arc<str>),
    NoThread { service: Arc<str>, error: io::Error },
    NoMonitor { service: Arc<str>, error: io::Error },
    NoSignals(io::Error),
}

impl SetupError {
    /// The name of the service that causes the error.
    pub(super) fn culprit(&self) -> Option<&Arc<str>> {
        match self {
            SetupError::NulInName(service)
            | SetupError::DuplicateName(service)
            | SetupError::UnknownName { service, .. }
            | SetupError::Invalid { service, .. }
            | SetupError::AddedLate(service)
            | SetupError::NoThread { service, .. }
            | SetupError::NoMonitor { service, .. } => Some(service),
            SetupError::EmptyName(_) | SetupError::RanBefore | SetupError::NoSignals(_) => None,
        }
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Escaped(self.culprit().map_or("", |name| name));
        match self {
            SetupError::EmptyName(number) => write!(f, "service #{number} has an empty name"),
            SetupError::NulInName(_) => {
                write!(f, "invalid service name `{name}`: thread names cannot contain NUL")
            }
            SetupError::DuplicateName(_) => write!(f, "duplicate service name `{name}`"),
            SetupError::UnknownName { after, .. } => {
                write!(
                    f,
                    "service `{name}`: unknown dependency `{}`; `after` can only name services added earlier",
                    Escaped(after)
                )
            }
            SetupError::Invalid { why, .. } => write!(f, "invalid service `{name}`: {}", error_chain_text(&**why)),
            SetupError::RanBefore => f.write_str("a host can run only once; create a new `Host`"),
            SetupError::AddedLate(_) => {
                write!(
                    f,
                    "service `{name}` was added after the host had started, and never runs; a host can run only once"
                )
            }
            SetupError::NoThread { error, .. } => write!(f, "cannot start a thread for service `{name}`: {error}"),
            SetupError::NoMonitor { error, .. } => {
                write!(f, "cannot start the thread that watches service `{name}` for stalls: {error}")
            }
            SetupError::NoSignals(error) => {
                write!(
                    f,
                    "cannot install the signal handler: {error}; use `run_until` if the program has its own handler"
                )
            }
        }
    }
}

impl Error for SetupError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SetupError::NoThread { error, .. } | SetupError::NoMonitor { error, .. } | SetupError::NoSignals(error) => {
                Some(error)
            }
            SetupError::Invalid { why, .. } => Some(&**why),
            _ => None,
        }
    }
}

/// Checks every service. Returns the dependencies of each. `names` are the names of all services.
pub(super) fn validate(services: &mut [HostedService], names: &Names) -> Result<Vec<Vec<ServiceId>>, SetupError> {
    let mut dependencies = Vec::with_capacity(services.len());
    // The last service that depends on all earlier services. A service after it depends on them through it.
    let mut barrier = 0;
    for (index, service) in services.iter().enumerate() {
        check(index, service)?;
        let after = &service.options.after;
        dependencies.push(if after.is_given() {
            let unknown = |after| SetupError::UnknownName { service: service.name.clone(), after };
            after.ids_before(index, names).map_err(unknown)?
        } else {
            (barrier..index).map(ServiceId::new).collect()
        });
        if !after.is_given() {
            barrier = index;
        }
        if names.id(&service.name).is_some_and(|first| first.index() < index) {
            return Err(SetupError::DuplicateName(service.name.clone()));
        }
    }
    // A host starts once: the order in the options is not needed any more, and may be large.
    services.iter_mut().for_each(|service| service.options.after = Default::default());
    Ok(dependencies)
}

fn check(index: usize, hosted: &HostedService) -> Result<(), SetupError> {
    let service = hosted.name.clone();
    if service.is_empty() {
        return Err(SetupError::EmptyName(index + 1));
    }
    if service.contains('\0') {
        return Err(SetupError::NulInName(service));
    }
    match &hosted.service {
        Some(value) => check_service(&**value, &hosted.options).map_err(|why| SetupError::Invalid { service, why }),
        None => Ok(()),
    }
}

/// Checks a service and its options. The methods of the service are user code.
pub(super) fn check_service(service: &dyn Service, options: &ServiceOptions) -> Result {
    let checked = catch_panic(|| service.validate().and_then(|()| options.validate(service)));
    checked.unwrap_or_else(|text| Err(format!("`validate` panicked: {text}").into()))
}
