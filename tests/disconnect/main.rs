//! Feature `disconnect`: closes the connection that a hung service is blocked on.

#![cfg(all(feature = "disconnect", target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "../support/mod.rs"]
mod support;

mod disconnect;
mod order;
mod races;
