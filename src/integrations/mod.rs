//! Connections to other systems. Each is behind a feature, and sees of a host what every user sees.

#[cfg(feature = "status")]
mod status;
#[cfg(feature = "systemd")]
mod systemd;

#[cfg(feature = "status")]
pub use status::{StatusAddress, StatusServer};
