//! Blocking calls that return at the stop: accept, connect, read, and wait for a child process. Feature `io`, Unix only.
//!
//! Each call waits in `poll` for two descriptors: its own, and the descriptor of the token. A stop ends the call, whether it is
//! requested before the call or during it. A waiting call does not wake up periodically.
//!
//! # Invariants
//!
//! 1. No wait is followed by a call that may block, because readiness is not a reservation. Either the call after the wait is
//!    non-blocking, or only this thread can take what is ready. `reading` explains both.
//! 2. The flag of the token decides whether there was a stop. The descriptor only wakes the thread, because another process
//!    may signal it too.
//! 3. A deadline is read again whenever it may have moved.
//! 4. A call that has taken responsibility for something, such as a child process or the clients of a listener, does not
//!    abandon it when it returns an error.

#[cfg(not(unix))]
compile_error!(
    "feature `io` is only supported on Unix; on other systems, interrupt blocking calls from an `on_stop` callback"
);

mod ready;
mod accept;
mod incoming;
mod connect;
mod reading;
mod interruptible;
#[cfg(target_os = "linux")] // other systems have no process descriptors
mod child;
mod forward;

pub use accept::Listener;
pub(crate) use incoming::{Pauses, is_broken};
pub use interruptible::Interruptible;
