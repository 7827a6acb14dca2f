//! `StatusServer`: a service that answers probes, metrics and a page over HTTP. Feature `status`, Unix only.
//!
//! No crate for blocking HTTP servers met what is needed here. `oxhttp` cannot be stopped, counts its timeout for each
//! read (a client that sends a byte a second holds a thread for two hours), and discards pipelined requests. So this is
//! `httparse`, and the least code over the feature `io`.

#[cfg(not(unix))]
compile_error!(
    "feature `status` is only supported on Unix; on other systems, answer probes with your own HTTP server and `HostHandle`"
);

mod calendar;
mod json;
mod hosts;
mod http;
mod accept;
mod connection;
mod events;
mod facts;
mod picture;
mod rows;
mod probes;
mod metrics;
mod status_json;
mod markup;
mod table;
mod page;
mod address;
mod answers;
mod server;

pub use address::StatusAddress;
pub use server::StatusServer;
