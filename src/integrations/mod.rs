//! Connections to other systems. Each is behind a feature, and sees of a host what every user sees.

#[cfg(feature = "systemd")]
mod systemd;
