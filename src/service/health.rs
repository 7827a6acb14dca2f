//! What a service reports about its health.

use super::context::Context;
use crate::report::EventKind;
use crate::util::text::Escaped;

impl Context {
    /// Reports that the service runs but cannot do its work, for example because it has no connection to the broker.
    ///
    /// The host logs a warning, emits [`EventKind::Degraded`](crate::EventKind::Degraded), shows the reason in
    /// [`ServiceStatus::health`](crate::ServiceStatus::health), and is no longer [ready](crate::HostHandle::is_ready). The
    /// service continues. Another call with the same reason does nothing, so you can call this in a loop. A call with another
    /// reason replaces the reason.
    ///
    /// Three things end the degradation: [`healthy`](Self::healthy), the start after a restart, and the exit of the service.
    /// Without a host, this only logs.
    ///
    /// ```
    /// use hosted::{Context, Result};
    /// use std::net::TcpStream;
    /// use std::time::Duration;
    ///
    /// fn connect(ctx: &Context) -> Result<TcpStream> {
    ///     loop {
    ///         match TcpStream::connect("broker.example.org:5672") {
    ///             Ok(stream) => {
    ///                 ctx.healthy();
    ///                 return Ok(stream);
    ///             }
    ///             Err(error) => ctx.degraded(format!("no connection to the broker: {error}")),
    ///         }
    ///         ctx.sleep(Duration::from_secs(1))?;
    ///     }
    /// }
    /// # let _ = connect;
    /// ```
    #[doc(alias = "HealthCheckResult")]
    pub fn degraded(&self, reason: impl Into<String>) {
        let reason = reason.into();
        match self.id() {
            Some(id) => self.registry().mark_degraded(id, &reason),
            None => self.emit(EventKind::Degraded { reason: Escaped(&reason).to_string() }),
        }
    }

    /// Reports that the service can do its work again, after [`degraded`](Self::degraded).
    ///
    /// The host logs it and emits [`EventKind::Healthy`](crate::EventKind::Healthy). If the service is not degraded, this does
    /// nothing, so you can call it after each success.
    pub fn healthy(&self) {
        if let Some(id) = self.id() {
            self.registry().mark_healthy(id);
        }
    }

    /// Shows a sign of life, for [`ServiceOptions::stalls_after`](crate::ServiceOptions::stalls_after).
    ///
    /// A service calls this when it computes for a long time, or waits in the calls of another library. Helper threads can call
    /// it too: it is a sign of life of the service. Without that option, and without a host, it does nothing.
    ///
    /// ```
    /// use hosted::{Context, Result};
    ///
    /// fn index(ctx: &Context, pages: &[&str]) -> Result {
    ///     for page in pages {
    ///         ctx.check()?;
    ///         ctx.heartbeat();
    ///         println!("{page}"); // something that takes seconds
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = index;
    /// ```
    #[doc(alias("WATCHDOG", "keepalive", "ping"))]
    pub fn heartbeat(&self) {
        if let Some(watch) = self.stall_watch() {
            watch.pulse.beat();
        }
    }
}
