//! Everything a user reads: statuses, outcomes, errors, events and the report of a shutdown.

mod error;
mod outcome;
mod status;
mod service_report;
mod timeline;
mod host_error;
mod event;

pub use error::is_stop_error;
pub use error::{BoxError, Cause, Phase, Result, ServiceError};
pub(crate) use error::{drop_error, error_chain_text};
pub(crate) use event::EventScope;
pub use event::{Event, EventKind};
pub use host_error::HostError;
pub use outcome::{BlockedThread, Outcome};
pub use service_report::{Report, ServiceReport};
pub use status::{Health, HostState, MemberCounts, ServiceState, ServiceStatus, StopReason};
