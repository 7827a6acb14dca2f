//! Asking for a stop, seeing it, and reacting to it. Each file imports only from those before it.

mod pool;
pub(crate) mod elsewhere;
mod slab;
pub(crate) mod timer;
#[cfg(feature = "io")]
mod bell;
mod state;
mod request;
mod token;
mod source;
mod repeat;

pub use repeat::StopRepeating;
pub(crate) use request::Callbacks;
pub use source::StopSource;
pub use token::{StopCallback, StopToken};
