//! Blocking calls that end at the stop: accept, connect, read, wait for a child. Feature `io`, for Unix.
//!
//! Each waits in `poll` for two descriptors: what it is about, and the token's own. A stop that was requested before the
//! call, or comes at any moment during it, ends it; nothing is woken in between.

#[cfg(not(unix))]
compile_error!(
    "feature `io` is for Unix; elsewhere wake what blocks from `on_stop`: README, \"A call that cannot be interrupted\""
);

mod ready;
mod accept;
mod connect;
mod reading;
mod interruptible;
#[cfg(target_os = "linux")] // it has descriptors for processes
mod child;
mod forward;

pub use accept::Listener;
pub use interruptible::Interruptible;
