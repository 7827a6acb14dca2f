//! Faults of the host that were found from outside: a restart that a stop cuts off, snapshots of wide hosts, memory that
//! nobody frees, and set-ups that fail half done.

mod common;

#[path = "host_faults/finish.rs"]
mod finish;
#[path = "host_faults/setup.rs"]
mod setup;
