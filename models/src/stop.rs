//! The library's `stop/mod.rs` once more, with the timer and the pool of callback threads stood in for, and the models beside the files they look into.

#[path = "../../src/stop/pool.rs"]
pub(crate) mod pool;
pub(crate) mod elsewhere;
#[path = "../../src/stop/slab.rs"]
mod slab;
pub(crate) mod timer;
#[path = "../../src/stop/state.rs"]
mod state;
#[path = "../../src/stop/request.rs"]
mod request;
#[path = "../../src/stop/token.rs"]
mod token;
#[path = "../../src/stop/source.rs"]
mod source;
#[path = "../../src/stop/repeat.rs"]
mod repeat;

pub use repeat::StopRepeating;
pub(crate) use request::Callbacks;
pub use source::StopSource;
pub use token::{StopCallback, StopToken};

#[cfg(test)]
#[path = "models/token/mod.rs"]
mod models;
#[cfg(test)]
pub(crate) use timer::{begin, run_out};
