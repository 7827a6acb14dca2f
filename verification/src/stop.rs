//! The library's `stop/mod.rs` with replacements for the timer and the callback threads. The models stand here because
//! they use private parts of these files.

#[path = "../../src/stop/error.rs"]
mod error;
#[path = "../../src/stop/callback_pool.rs"]
pub(crate) mod callback_pool;
pub(crate) mod callback_threads;
#[path = "../../src/stop/slab.rs"]
mod slab;
pub(crate) mod timer;
#[path = "../../src/stop/node.rs"]
mod node;
#[path = "../../src/stop/request.rs"]
mod request;
#[path = "../../src/stop/callback.rs"]
mod callback;
#[path = "../../src/stop/token.rs"]
mod token;
#[path = "../../src/stop/source.rs"]
mod source;
#[path = "../../src/stop/repeating.rs"]
mod repeating;

pub use callback::StopCallback;
pub(crate) use error::StopMarker;
pub use error::{RecvError, Stopped};
pub use repeating::RepeatingStopCallback;
pub(crate) use request::PendingCallbacks;
pub use source::StopSource;
pub use token::StopToken;

#[cfg(test)]
#[path = "models/token/mod.rs"]
mod models;
#[cfg(test)]
pub(crate) use timer::{begin, run_out};
