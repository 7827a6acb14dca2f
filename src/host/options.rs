//! What can be said about one service of a host.

use super::names::{After, Names};
use crate::registry::Policy;
use crate::service::Restart;
use std::time::Duration;

/// What a host does with one service: from [`Host::add`](crate::Host::add).
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
    on_failure: OnFailure,
    on_completion: OnCompletion,
    pub(super) stack_size: Option<usize>,
    pub(super) disconnects: bool,
}

/// What the final failure of a service means for its host. .NET's `BackgroundServiceExceptionBehavior`.
#[doc(alias = "BackgroundServiceExceptionBehavior")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnFailure {
    /// The host is asked to stop, and its result is an error. The default.
    #[default]
    StopHost,
    /// The host goes on. The failure is logged, and stands in the report alone. This covers the start too.
    Ignore,
}

/// What the completion of a service means for its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCompletion {
    /// The host goes on, until the last of its services has completed. The default.
    #[default]
    Ignore,
    /// The host is asked to stop.
    StopHost,
}

impl ServiceOptions {
    /// The options of a service that is added to a host with these `names`.
    pub(super) fn among(names: Names) -> Self {
        ServiceOptions { after: After::of(names), ..Self::default() }
    }

    /// Starts this service after those named only, and stops it before them.
    ///
    /// Without this it comes after all those added before it. So independent services start side by side:
    /// `.after::<&str>([])` is after none. Only services already added can be named: a cycle cannot be written.
    /// Called again, it adds names. An unknown name is an error of [`Host::start`](crate::Host::start).
    #[doc(alias("Requires", "After"))]
    pub fn after<N: AsRef<str>>(&mut self, names: impl IntoIterator<Item = N>) -> &mut Self {
        self.after.add(names.into_iter());
        self
    }

    /// Removes every dependency: the service starts at once, beside all others, and is stopped beside them.
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

    /// How long the first start may take, from the making of its thread. Default: as long as the host's may.
    #[doc(alias = "StartupTimeout")]
    pub fn start_timeout(&mut self, limit: Duration) -> &mut Self {
        self.start_timeout = Some(limit);
        self
    }

    /// How long this service may hold up, in a stop, those it depends on. Default: half of the time left.
    ///
    /// It is still waited for until the end of the whole stop. (With the feature `disconnect`, one that may be disconnected
    /// is when this is over.)
    #[doc(alias("ShutdownTimeout", "shutdown"))]
    pub fn stop_timeout(&mut self, limit: Duration) -> &mut Self {
        self.stop_timeout = Some(limit);
        self
    }

    /// When the service is started again after it ended. Default: never.
    pub fn restart(&mut self, restart: Restart) -> &mut Self {
        self.restart = restart;
        self
    }

    /// What its final failure means for the host. Default: that stops.
    pub fn on_failure(&mut self, then: OnFailure) -> &mut Self {
        self.on_failure = then;
        self
    }

    /// What its completion means for the host. Default: nothing.
    pub fn on_completion(&mut self, then: OnCompletion) -> &mut Self {
        self.on_completion = then;
        self
    }

    /// The stack of its thread, in bytes. Default: the standard library's, 2 MiB.
    ///
    /// If no thread with such a stack can be created, [`Host::start`](crate::Host::start) returns an error.
    pub fn stack_size(&mut self, bytes: usize) -> &mut Self {
        self.stack_size = Some(bytes);
        self
    }

    /// The last resort against a call that nothing else ends: when the service's time is up, the socket that the
    /// service's thread is seen to wait on is shut down. Feature `disconnect`; Linux.
    ///
    /// For a client that blocks in a library of somebody else's, on a server that is frozen, where not even a cancel comes
    /// through. Its call then ends as if the server had hung up, and what it says of that is the service's own error. This is
    /// when its [`stop_timeout`](Self::stop_timeout) is over, or with a tenth of the stop's time left (at least 100 ms, at most
    /// half of it), whichever comes first: a moment that [`stop_deadline`](crate::Context::stop_deadline) tells. If it is still
    /// there then, it is looked at again as often as that timeout, or half of what was left, has passed.
    ///
    /// The service's thread and that of its stop callbacks are looked at; one that sleeps in a call on sockets loses them, also
    /// those that it shares with others (a pool, a child process), but none that listens. Each is a warning in the log, and
    /// stands in [`ServiceReport::disconnected`](crate::ServiceReport::disconnected). Threads that the service makes itself are
    /// not looked at.
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
    /// It finds the sockets of `read`, `write`, `send`, `recv`, `connect`, `poll` and `epoll_wait`, not of `select` or
    /// `io_uring`, on x86-64 and AArch64, from Linux 5.6 on, where the system call `pidfd_getfd` is allowed: some containers
    /// and units forbid it, which is a warning at the start. Of a [`group`](crate::group) nothing is disconnected by this: say
    /// it of the services in it.
    #[cfg(feature = "disconnect")]
    pub fn disconnect_when_hung(&mut self) -> &mut Self {
        self.disconnects = true;
        self
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            ignores_failure: self.on_failure == OnFailure::Ignore,
            completion_stops_host: self.on_completion == OnCompletion::StopHost,
        }
    }
}
