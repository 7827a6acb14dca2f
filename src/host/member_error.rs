//! `AddError` and `MemberError`: why a dynamic group did not accept a member, and what happened to a member.

use crate::report::{BlockedThread, BoxError, ServiceError, error_chain_text};
use crate::stop::StopMarker;
use crate::util::sync::Arc;
use crate::util::text::Escaped;
use std::error::Error;
use std::{fmt, io};

/// The reason why a [`DynamicGroup`](crate::DynamicGroup) did not add a member.
///
/// ```
/// use hosted::{AddError, DynamicGroup, once};
///
/// let devices = DynamicGroup::new();
/// let error = devices.add("probe", once(|_| Ok(()))).unwrap_err();
/// assert!(matches!(error, AddError::NotRunning)); // no host runs the service of the group
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum AddError {
    /// As many members are alive as the [`limit`](crate::DynamicGroup::limit) of the group allows.
    Full,
    /// A member of this name is alive.
    Duplicate(Arc<str>),
    /// The service of the group has not started yet.
    NotRunning,
    /// The stop of the group was requested. A service that returns this error stops cleanly, as with
    /// [`Stopped`](crate::Stopped).
    Stopped,
    /// The name, the service or an option is not valid. The text of the error names the member and the fault.
    Invalid(BoxError),
    /// The operating system did not create the thread.
    NoThread(io::Error),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddError::Full => f.write_str("the dynamic group has reached its limit of members"),
            AddError::Duplicate(name) => write!(f, "a member named `{}` is alive", Escaped(name)),
            AddError::NotRunning => f.write_str(
                "the dynamic group is not running; add its `service` to a host, and start the host before you add members",
            ),
            AddError::Stopped => f.write_str("stop requested for the dynamic group"),
            AddError::Invalid(why) => f.write_str(&error_chain_text(&**why)),
            AddError::NoThread(error) => write!(f, "cannot start a thread for a member: {error}"),
        }
    }
}

impl Error for AddError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            AddError::Stopped => Some(&StopMarker),
            AddError::Invalid(why) => why.source(),
            AddError::NoThread(error) => Some(error),
            AddError::Full | AddError::Duplicate(_) | AddError::NotRunning => None,
        }
    }
}

/// Why a member cannot be added: the source of [`AddError::Invalid`].
#[derive(Debug)]
pub(super) enum InvalidMember {
    EmptyName,
    NulInName(Arc<str>),
    Option { name: Arc<str>, option: &'static str },
    Service { name: Arc<str>, why: BoxError },
}

impl fmt::Display for InvalidMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidMember::EmptyName => f.write_str("the name of a member is empty"),
            InvalidMember::NulInName(name) => {
                write!(f, "invalid member name `{}`: thread names cannot contain NUL", Escaped(name))
            }
            InvalidMember::Option { name, option } => {
                let name = Escaped(name);
                write!(
                    f,
                    "invalid member `{name}`: the option `{option}` has no meaning for a member of a dynamic group"
                )
            }
            InvalidMember::Service { name, why } => {
                write!(f, "invalid member `{}`: {}", Escaped(name), error_chain_text(&**why))
            }
        }
    }
}

impl Error for InvalidMember {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            InvalidMember::Service { why, .. } => Some(&**why),
            _ => None,
        }
    }
}

/// The reason why a wait for a [`Member`](crate::Member) was in vain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum MemberError {
    /// The member did not end in time. It stays alive: its name is taken, and the group still waits for it when it stops.
    Hung {
        /// The name of the member: `group/member`.
        name: Arc<str>,
        /// What the thread of the member is blocked in.
        thread: BlockedThread,
    },
    /// The `start` of the member did not return in time.
    NotReady {
        /// The name of the member: `group/member`.
        name: Arc<str>,
        /// What the thread of the member is blocked in.
        thread: BlockedThread,
    },
    /// The member failed before it was ready.
    Failed(ServiceError),
    /// The member ended without a failure before it was ready.
    Ended(Arc<str>),
    /// The member called the method on its own thread, so it would wait for itself.
    OwnThread(Arc<str>),
}

impl fmt::Display for MemberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemberError::Hung { name, thread } => write!(f, "member `{}` did not stop: {thread}", Escaped(name)),
            MemberError::NotReady { name, thread } => write!(f, "member `{}` is not ready: {thread}", Escaped(name)),
            MemberError::Failed(error) => write!(f, "{error}"),
            MemberError::Ended(name) => write!(f, "member `{}` ended before it was ready", Escaped(name)),
            MemberError::OwnThread(name) => {
                let name = Escaped(name);
                write!(f, "member `{name}` cannot wait for itself; call `request_stop`, and return")
            }
        }
    }
}

impl Error for MemberError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            MemberError::Failed(error) => error.source(),
            _ => None,
        }
    }
}
