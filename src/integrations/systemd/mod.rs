//! Feature `systemd`: systemd learns whether the host has started, what it is doing, and whether it is live.

#[cfg(target_os = "linux")]
mod status_line;
#[cfg(target_os = "linux")]
mod notifier;

use crate::host::Host;

impl Host {
    /// Reports the state of this host to systemd. Feature `systemd`; on other systems than Linux this does nothing.
    ///
    /// Use it in a unit with `Type=notify`. Without the environment variable `NOTIFY_SOCKET`, which systemd sets, this does
    /// nothing. Call it on one host of the process, and not on the host of a [`group`](crate::group).
    ///
    /// systemd receives these messages:
    ///
    /// | message | when |
    /// |---|---|
    /// | `READY=1` | every service has started |
    /// | `STATUS=…` | at each change: one line for `systemctl status`, with the services that the host waits for and what they are blocked in, and those that are degraded or stalled |
    /// | `STOPPING=1` | a stop is requested |
    /// | `EXTEND_TIMEOUT_USEC=…` | during a start or a stop that has a [`deadline`](crate::HostHandle::deadline): systemd then waits until 2 s after that deadline, even if `TimeoutStartSec=` or `TimeoutStopSec=` is shorter |
    /// | `WATCHDOG=1` | with `WatchdogSec=`: twice in each interval, while [`is_live`](crate::HostHandle::is_live) returns `true` |
    ///
    /// So systemd restarts a program if one of its services stalls: see `ServiceOptions::stalls_after`. A start without a
    /// start timeout, and a stop without a limit, have no deadline. For them the limits of the unit apply.
    ///
    /// A thread named `hosted-systemd` sends the messages. It waits for events, and wakes up on its own only for the watchdog. It
    /// ends when the host is dropped. If a message cannot be sent, the log has one warning. `stop` waits up to 100 ms for the
    /// messages that are due, so that they are sent before the process exits.
    ///
    /// ```no_run
    /// use hosted::{Host, HostError, worker};
    ///
    /// fn main() -> Result<(), HostError> {
    ///     let mut host = Host::new();
    ///     host.systemd();
    ///     host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
    ///     host.run()?;
    ///     Ok(())
    /// }
    /// ```
    #[doc(alias("UseSystemd", "sd_notify", "watchdog", "SystemdLifetime"))]
    pub fn systemd(&mut self) -> &mut Self {
        #[cfg(target_os = "linux")]
        notifier::attach(self);
        self
    }
}
