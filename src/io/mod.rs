//! Blocking calls that end at the stop: accept, connect, read, wait for a child. Feature `io`, for Unix.
//!
//! Each waits in `poll` for two descriptors: its own, and the token's. A stop that was requested before the call, or comes
//! at any moment during it, ends the call. Nothing wakes in between.
//!
//! # Invariants
//!
//! 1. No wait is followed by a call that may block: readiness is not a reservation. The call after the wait is
//!    non-blocking, or only this thread can take what is ready (`reading` explains both).
//! 2. The token's flag decides whether there was a stop. Its descriptor only wakes: other processes may ring it.
//! 3. A deadline is read again whenever it may have moved.
//! 4. A call that took charge of something (a child, a listener's clients) has no error path that leaves it behind.

#[cfg(not(unix))]
compile_error!(
    "feature `io` is for Unix; elsewhere wake what blocks from `on_stop`: README, \"A call that cannot be interrupted\""
);

mod ready;
mod accept;
mod incoming;
mod connect;
mod reading;
mod interruptible;
#[cfg(target_os = "linux")] // it has descriptors for processes
mod child;
mod forward;

pub use accept::Listener;
pub use interruptible::Interruptible;
