//! Asking for a stop, seeing it, and reacting to it. Each file imports only from those before it.

mod slab;
mod timer;
mod state;
mod request;
mod token;
mod source;

pub(crate) use request::Callbacks;
pub use source::StopSource;
pub use token::{StopCallback, StopToken};
