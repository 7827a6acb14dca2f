//! The stop signal: sources request a stop, tokens observe it, and callbacks react to it. Each file imports only from the
//! files that are declared before it.

mod error;
mod callback_pool;
pub(crate) mod callback_threads;
mod slab;
pub(crate) mod timer;
#[cfg(feature = "io")]
mod wake_fd;
mod node;
mod request;
mod callback;
mod token;
mod source;
mod repeating;

pub use callback::StopCallback;
pub(crate) use error::StopMarker;
pub use error::{RecvError, Stopped};
pub use repeating::RepeatingStopCallback;
pub(crate) use request::PendingCallbacks;
pub use source::StopSource;
pub use token::StopToken;
