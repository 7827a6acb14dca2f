//! The library's own sources on a model checker's locks, atomics, threads and time, and the models that run them.
//!
//! Only `sync`, the token's timer, the one pool of callback threads, and `signal`, which is not modelled, are other files than the library's. See `run` for the commands.
#![forbid(unsafe_code)]
#![cfg(any(feature = "loom", feature = "shuttle"))]
#![allow(dead_code, unused_imports, reason = "a model uses a part of the library")]

mod signal;
mod sync;

#[path = "../../src/panic.rs"]
mod panic;
#[path = "../../src/restart.rs"]
mod restart;
#[path = "../../src/blocked/mod.rs"]
mod blocked;
#[path = "../../src/line.rs"]
mod line;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/status.rs"]
mod status;
mod stop;
#[path = "../../src/clock.rs"]
mod clock;
#[path = "../../src/event.rs"]
mod event;
#[path = "../../src/bus.rs"]
mod bus;
#[path = "../../src/report.rs"]
mod report;
#[path = "../../src/ticks.rs"]
mod ticks;
#[path = "../../src/board/mod.rs"]
mod board;
#[path = "../../src/context.rs"]
mod context;
#[path = "../../src/service.rs"]
mod service;
#[path = "../../src/every.rs"]
mod every;
#[path = "../../src/queue/mod.rs"]
mod queue;
#[path = "../../src/supervise.rs"]
mod supervise;
#[path = "../../src/consumer.rs"]
mod consumer;
#[path = "../../src/host/mod.rs"]
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
pub use status::{HostState, HungService, Outcome, ServiceStatus, State, StopReason};
pub use stop::{StopCallback, StopRepeating, StopSource, StopToken};
pub use ticks::{Tick, Ticks};

#[cfg(test)]
mod models {
    pub(crate) mod explore;
    #[cfg(feature = "shuttle")]
    mod host;
    #[cfg(feature = "shuttle")]
    mod pool;
}
