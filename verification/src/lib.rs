//! The library's own sources on the locks, atomics, threads and time of a model checker, and the models that run them.
//!
//! These files replace the library's: `sync`, the timer of the token, and the pool of callback threads. `signal` is
//! replaced too and has no model. `run` shows the commands.
#![forbid(unsafe_code)]
#![cfg(any(feature = "loom", feature = "shuttle"))]
#![allow(dead_code, unused_imports, reason = "a model uses a part of the library")]

mod signal;
mod sync;

mod util;
#[path = "../../src/diagnose/mod.rs"]
mod diagnose;
mod stop;
#[path = "../../src/report/mod.rs"]
mod report;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/registry/mod.rs"]
mod registry;
#[path = "../../src/service/mod.rs"]
mod service;
#[path = "../../src/services/mod.rs"]
mod services;
#[path = "../../src/host/mod.rs"]
mod host;

pub use clock::Clock;
pub use host::{Host, OnCompletion, OnFailure, ServiceOptions, group};
pub use registry::HostHandle;
pub use report::{
    BlockedThread, BoxError, Cause, Event, EventKind, HostError, HostState, Outcome, Phase, Report, Result,
    ServiceError, ServiceReport, ServiceState, ServiceStatus, StopReason,
};
pub use service::{Context, Restart, Service, Tick, Ticks, task, worker};
pub use services::{BatchConsumer, Consumer, Every, PushError, Queue, every};
pub use stop::{RecvError, RepeatingStopCallback, StopCallback, StopSource, StopToken, Stopped};

#[cfg(test)]
mod models {
    pub(crate) mod explore;
    #[cfg(feature = "shuttle")]
    mod host;
    #[cfg(feature = "shuttle")]
    mod pool;
}
