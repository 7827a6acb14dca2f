//! The options of one service of a host.

use super::names::{After, Names};
use crate::registry::Policy;
use crate::report::Result;
use crate::service::{Restart, Service};
use std::time::Duration;

/// The options of one service. [`Host::add`](crate::Host::add) returns them, and
/// [`DynamicGroup::add_with`](crate::DynamicGroup::add_with) takes them.
///
/// ```
/// use hosted::{Host, OnFailure, Restart, every, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("feed", worker(|ctx| { ctx.wait(); Ok(()) })).restart(Restart::on_failure());
/// host.add("statistics", every(Duration::from_secs(60), |_| Ok(())))
///     .after(["feed"])
///     .on_failure(OnFailure::Ignore)
///     .stop_timeout(Duration::from_secs(2));
/// # host.start().unwrap();
/// # host.stop(Duration::from_secs(10)).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct ServiceOptions {
    pub(super) after: After,
    pub(super) start_timeout: Option<Duration>,
    pub(super) stop_timeout: Option<Duration>,
    pub(super) restart: Restart,
    pub(super) stalls_after: Option<Duration>,
    on_failure: Option<OnFailure>,
    on_completion: Option<OnCompletion>,
    pub(super) stack_size: Option<usize>,
    pub(super) disconnects: bool,
}

/// How the host reacts to the final failure of a service. .NET: `BackgroundServiceExceptionBehavior`.
#[doc(alias = "BackgroundServiceExceptionBehavior")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The failure requests a stop of the host, whose result is then an error. The default.
    #[default]
    StopHost,
    /// The host continues. The failure appears only in the log and in the report. This also holds for a failure to start.
    Ignore,
}

/// How the host reacts to the completion of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCompletion {
    /// The host continues until its last service has completed. The default.
    #[default]
    Ignore,
    /// The completion requests a stop of the host.
    StopHost,
}

impl ServiceOptions {
    /// Creates the default options, for [`DynamicGroup::add_with`](crate::DynamicGroup::add_with).
    ///
    /// The methods that set an option return a reference. So set them one after another, or clone the result:
    ///
    /// ```
    /// use hosted::{Restart, ServiceOptions};
    ///
    /// let mut options = ServiceOptions::new();
    /// options.restart(Restart::on_failure());
    /// options.stack_size(256 << 10);
    ///
    /// let same = ServiceOptions::new().restart(Restart::on_failure()).stack_size(256 << 10).clone();
    /// # let _ = (options, same);
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the options of a service that is added to a host with these `names`.
    pub(super) fn among(names: Names) -> Self {
        ServiceOptions { after: After::of(names), ..Self::default() }
    }

    /// Makes this service depend only on the named services: it starts after them, and stops before them.
    ///
    /// Without this call, a service depends on all services that were added before it. You can name only services that were
    /// already added, so a cycle is impossible. A second call adds names. An unknown name is an error of
    /// [`Host::start`](crate::Host::start). For a service without dependencies, call [`independent`](Self::independent).
    #[doc(alias("Requires", "After"))]
    pub fn after<N: AsRef<str>>(&mut self, names: impl IntoIterator<Item = N>) -> &mut Self {
        self.after.add(names.into_iter());
        self
    }

    /// Removes every dependency: the service starts and stops in parallel with all others.
    ///
    /// ```
    /// use hosted::{Host, task};
    ///
    /// let mut host = Host::new();
    /// host.add("migration", task(|_| Ok(())));
    /// host.add("price-cache", task(|_| Ok(()))).independent(); // starts beside the migration
    /// # host.run().unwrap();
    /// ```
    ///
    /// `.after::<&str>([])` means the same. A call of [`after`](Self::after) adds dependencies again.
    pub fn independent(&mut self) -> &mut Self {
        self.after::<&str>([])
    }

    /// Sets how long the first start may take, from the creation of its thread. Default: only the start timeout of the host
    /// applies.
    #[doc(alias = "StartupTimeout")]
    pub fn start_timeout(&mut self, limit: Duration) -> &mut Self {
        self.start_timeout = Some(limit);
        self
    }

    /// Sets how long this service may delay the stop of its dependencies. Default: half of the remaining time.
    ///
    /// The host still waits for the service until the deadline of the whole shutdown. With the feature `disconnect`, the host
    /// closes the connection of a service that opted in when this timeout expires.
    #[doc(alias("ShutdownTimeout", "shutdown"))]
    pub fn stop_timeout(&mut self, limit: Duration) -> &mut Self {
        self.stop_timeout = Some(limit);
        self
    }

    /// Sets when the service is restarted. Default: never.
    pub fn restart(&mut self, restart: Restart) -> &mut Self {
        self.restart = restart;
        self
    }

    /// Sets after how long without a sign of life the service is *stalled*: it hangs, or computes for too long. Default: never.
    ///
    /// Signs of life are:
    ///
    /// - a wait in this library: `sleep`, `wait`, `recv`, `accept`, a read of an `interruptible` stream, the wait of a consumer,
    ///   of `every` or of a group, and so on. During such a wait, a service is never stalled.
    /// - the beginning and the end of each tick and each job,
    /// - a call of [`Context::heartbeat`](crate::Context::heartbeat), from any thread.
    ///
    /// Only the method `run` is watched, until its stop is requested: the start has its own
    /// [timeout](Self::start_timeout), and so has the stop. A stalled service continues. The host logs a warning that says what
    /// the thread is blocked in, emits [`EventKind::Stalled`](crate::EventKind::Stalled), and is no longer
    /// [live](crate::HostHandle::is_live). Later the service recovers, or its `run` ends.
    ///
    /// ```
    /// use hosted::{Host, every};
    /// use std::time::Duration;
    ///
    /// let mut host = Host::new();
    /// host.add("poller", every(Duration::from_secs(10), |_| {
    ///     // a request that may hang
    ///     Ok(())
    /// }))
    /// .stalls_after(Duration::from_secs(60));
    /// # host.start().unwrap();
    /// # host.stop(Duration::from_secs(10)).unwrap();
    /// ```
    ///
    /// The host reports a stall after `limit`, and at most a quarter of `limit` later. For that, one thread of the host, the
    /// monitor, wakes up four times in each limit. Time is that of the host's [`Clock`](crate::Clock). On a
    /// [`ManualClock`](crate::testing::ManualClock), the monitor counts as one sleeper. Time in which the whole process was
    /// frozen does not count.
    ///
    /// A wait in `select!` is not a wait of this library. Call `heartbeat` around it, and give it a timeout below `limit`. A
    /// `limit` of zero is an error of [`Host::start`](crate::Host::start). On a [`group`](crate::group), this option has no
    /// effect, because a group only waits: set it on the services in the group.
    #[doc(alias("watchdog", "WatchdogSec", "livenessProbe"))]
    pub fn stalls_after(&mut self, limit: Duration) -> &mut Self {
        self.stalls_after = Some(limit);
        self
    }

    /// Sets how the host reacts to the final failure of the service. Default: the host stops. The default for a member of a
    /// [`DynamicGroup`](crate::DynamicGroup) is [`OnFailure::Ignore`].
    pub fn on_failure(&mut self, then: OnFailure) -> &mut Self {
        self.on_failure = Some(then);
        self
    }

    /// Sets how the host reacts to the completion of the service. Default: the host continues.
    pub fn on_completion(&mut self, then: OnCompletion) -> &mut Self {
        self.on_completion = Some(then);
        self
    }

    /// Sets the stack size of the service's thread, in bytes. Default: that of the standard library, 2 MiB.
    ///
    /// If no thread with such a stack can be created, [`Host::start`](crate::Host::start) returns an error.
    pub fn stack_size(&mut self, bytes: usize) -> &mut Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Allows a forced disconnect: if the service is still blocked on a socket at its stop deadline, the host shuts down that
    /// socket. Feature `disconnect`; Linux.
    ///
    /// Use it for a client that blocks inside another library on an unresponsive server. The blocked call then returns as if the
    /// server had closed the connection, and the service returns its own error. The disconnect takes place at the earlier of two
    /// times, which [`stop_deadline`](crate::Context::stop_deadline) returns:
    ///
    /// - when the [`stop_timeout`](Self::stop_timeout) of the service expires,
    /// - when a tenth of the time for the stop is left, but at least 100 ms and at most half of that time.
    ///
    /// If the service has still not stopped then, the host checks it again, each time that timeout or half of the remaining time
    /// has passed.
    ///
    /// The host checks the thread of the service and the thread of its stop callbacks. If such a thread sleeps in a call on
    /// sockets, the host shuts these sockets down. A socket that is shared with a pool or a child process is closed for everyone.
    /// The host never shuts down a listening socket. Each disconnect is a warning in the log and an entry in
    /// [`ServiceReport::disconnected`](crate::ServiceReport::disconnected). The host does not check threads that the service
    /// creates itself.
    ///
    /// ```
    /// use hosted::{Context, Host, worker};
    /// use std::io::Read;
    /// use std::net::{TcpListener, TcpStream};
    /// use std::time::Duration;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let silent = TcpListener::bind("127.0.0.1:0")?;
    /// let mut stream = TcpStream::connect(silent.local_addr()?)?;
    /// let mut host = Host::new();
    /// host.add("reader", worker(move |_: &Context| {
    ///     let end = stream.read(&mut [0])?; // nobody writes, and nothing wakes it
    ///     assert_eq!(end, 0);
    ///     Ok(())
    /// }))
    /// .disconnect_when_hung()
    /// .stop_timeout(Duration::from_millis(200));
    /// host.start().unwrap();
    /// let report = host.stop(Duration::from_secs(10)).unwrap();
    /// assert_eq!(report.services[0].disconnected.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// The host finds the sockets of `read`, `write`, `send`, `recv`, `connect`, `poll` and `epoll_wait`, but not of `select` or
    /// `io_uring`. It needs x86-64 or AArch64, Linux 5.6 or later, and permission for the system call `pidfd_getfd`. Some
    /// containers and systemd units forbid this call; `start` then logs a warning. On a [`group`](crate::group) this option has
    /// no effect: set it on the services in the group.
    #[cfg(feature = "disconnect")]
    pub fn disconnect_when_hung(&mut self) -> &mut Self {
        self.disconnects = true;
        self
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            ignores_failure: self.on_failure.unwrap_or_default() == OnFailure::Ignore,
            completion_stops_host: self.on_completion.unwrap_or_default() == OnCompletion::StopHost,
        }
    }

    /// Returns the options that a shutdown needs of a member of a dynamic group.
    pub(super) fn of_member(stop_timeout: Option<Duration>, disconnects: bool) -> Self {
        ServiceOptions { stop_timeout, disconnects, ..Self::default() }
    }

    /// Returns the policy of a member of a dynamic group, whose failures are ignored by default.
    pub(super) fn member_policy(&self) -> Policy {
        let on_failure = self.on_failure.unwrap_or(OnFailure::Ignore);
        Policy { ignores_failure: on_failure == OnFailure::Ignore, completion_stops_host: false }
    }

    /// Returns an error if an option has a value that makes no sense, alone or for `service`.
    pub(super) fn validate(&self, service: &dyn Service) -> Result {
        if self.stalls_after.is_some_and(|limit| limit.is_zero()) {
            return Err("the limit of `stalls_after` must not be zero".into());
        }
        self.restart.validate()?;
        if self.restart.is_never() || service.can_restart() {
            return Ok(());
        }
        Err("the service runs only once, so it cannot have a `restart` policy; use `worker` instead of `once`".into())
    }

    /// Returns the name of an option that makes no sense for a member of a dynamic group.
    pub(super) fn unfit_for_member(&self) -> Option<&'static str> {
        match (&self.after, self.on_completion) {
            (after, _) if after.is_given() && after.is_empty() => Some("independent"),
            (after, _) if after.is_given() => Some("after"),
            (_, Some(_)) => Some("on_completion"),
            _ => None,
        }
    }
}
