//! x
mod sync;
mod panic;
mod error;
mod restart;
mod stop;
mod clock;
mod status;
mod blocked;
mod event;
mod bus;
mod signal;
mod ticks;
mod report;
mod board;
mod context;
mod service;
mod every;
mod queue;
mod consumer;
mod supervise;
mod host;

pub use board::HostHandle;
pub use clock::Clock;
pub use consumer::Consumer;
pub use context::Context;
pub use error::{BoxError, Cause, Phase, RecvError, Result, ServiceError, Stopped};
pub use event::{Event, EventKind};
pub use every::{Every, every};
pub use host::{Host, OnCompletion, OnFailure, ServiceOptions, group};
pub use queue::{PushError, Queue};
pub use report::{HostError, Report, ServiceReport};
pub use restart::Restart;
pub use service::{Service, task, worker};
pub use signal::ctrl_c;
pub use status::{HostState, HungService, Outcome, ServiceStatus, State, StopReason};
pub use stop::{StopCallback, StopSource, StopToken};
pub use ticks::{Tick, Ticks};

/// What a test of services needs.
pub mod testing {
    pub use crate::clock::ManualClock;
}
