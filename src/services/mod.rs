//! Ready-made services. Each is built on the public API of `service` alone.

mod every;
#[cfg(feature = "cron")]
mod schedule;
#[cfg(feature = "cron")]
mod cron;
mod queue;
mod registration;
mod consumer;
mod batch_consumer;

pub use batch_consumer::BatchConsumer;
pub use consumer::Consumer;
#[cfg(feature = "cron")]
pub use cron::{Cron, cron};
pub use every::{Every, every};
pub use queue::{PushError, Queue};
#[cfg(feature = "cron")]
pub use schedule::{Schedule, ScheduleError};
