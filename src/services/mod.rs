//! Ready-made services. Each is built on the public API of `service` alone.

mod every;
mod queue;
mod consumer;

pub use consumer::Consumer;
pub use every::{Every, every};
pub use queue::{PushError, Queue};
