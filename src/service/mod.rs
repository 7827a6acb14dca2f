//! What a host runs: the `Service` trait, and services that are made from one function: `worker`, `once` and `task`.

mod restart;
mod ticks;
mod context;
mod health;

pub use context::Context;
pub(crate) use restart::Backoff;
pub use restart::Restart;
pub use ticks::{Tick, Ticks};

use crate::report::Result;
use crate::stop::StopToken;

/// A background service: `start`, `run` and `stop`, called on a dedicated OS thread.
///
/// The host calls the three methods in that order, never two at the same time. The service is ready when `start` has
/// returned `Ok`; then its dependents start. The host calls `stop` once for every `start` that returned `Ok`, even if
/// `run` failed or panicked.
///
/// `stop` is *not* how the host asks a running service to stop. The host requests the stop through the token of the
/// [`Context`], which `run` polls or waits for. `stop` cleans up afterwards.
///
/// `run` ends in one of three ways:
///
/// - It returns `Ok`: the service has completed, or has stopped if a stop was requested.
/// - After a stop request, it returns an error with [`Stopped`](crate::Stopped) in its source chain: the service has
///   stopped cleanly.
/// - It returns any other error, or panics: the service has failed.
///
/// A service whose blocking call is interrupted by force returns `Ok` for the error of that call:
/// `Err(_) if ctx.stop_requested() => return Ok(())`.
///
/// A [restart](crate::Restart) uses the same value, even after a panic. So `start` must rebuild the state after a
/// broken run. The value is dropped on its own thread.
///
/// .NET: `IHostedService` and `BackgroundService` in one. A unit test needs no host:
///
/// ```
/// use hosted::{Context, Result, Service, StopSource};
/// use std::time::Duration;
///
/// struct Poller { feed: Vec<u32>, seen: u32 }
///
/// impl Service for Poller {
///     fn run(&mut self, ctx: &Context) -> Result {
///         while let Some(n) = self.feed.pop() {
///             self.seen += n;
///             ctx.sleep(Duration::from_millis(1))?;
///         }
///         Ok(())
///     }
/// }
///
/// let mut poller = Poller { feed: vec![1, 2, 3], seen: 0 };
/// poller.run(&Context::new("poller", StopSource::new().token())).unwrap();
/// assert_eq!(poller.seen, 6);
/// ```
#[doc(alias("IHostedService", "BackgroundService", "GenServer", "IHostedLifecycleService"))]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "not a `Service`",
    note = "wrap the closure: `worker(|ctx| …)`, or implement `Service` for a type with state"
)]
pub trait Service: Send + 'static {
    /// Prepares the service. Its dependents start when this method has returned `Ok`.
    ///
    /// The default does nothing.
    ///
    /// # Errors
    ///
    /// Any error means that the service failed to start. The host then does not call `stop`.
    #[doc(alias = "StartAsync")]
    fn start(&mut self, ctx: &Context) -> Result {
        let _ = ctx;
        Ok(())
    }

    /// Does the work, until the work is done or a stop is requested through `ctx`.
    ///
    /// The default waits for the stop.
    ///
    /// # Errors
    ///
    /// After a stop request, [`Stopped`](crate::Stopped) is a clean end. Any other error is a failure of the service.
    #[doc(alias = "ExecuteAsync")]
    fn run(&mut self, ctx: &Context) -> Result {
        ctx.wait();
        Ok(())
    }

    /// Cleans up after `run`, no matter how `run` ended.
    ///
    /// During a shutdown the token of `ctx` is already stopped, so every wait on `ctx` returns at once.
    /// [`Context::stop_deadline`] returns the instant by which this method should be done.
    ///
    /// The default does nothing.
    ///
    /// # Errors
    ///
    /// Any error is reported, and does not prevent other services from being stopped. `Stopped` is an error like any
    /// other here, because the clean-up is incomplete.
    #[doc(alias = "StopAsync")]
    fn stop(&mut self, ctx: &Context) -> Result {
        let _ = ctx;
        Ok(())
    }

    /// Receives a token that is stopped once the service will not be started again.
    ///
    /// [`Host::add`](crate::Host::add) calls it once, before anything else. The token is stopped
    ///
    /// - when the outermost host requests the service's stop: for a service in a [`group`](crate::group), the group's stop;
    /// - when the service has completed or failed finally, just before its host is notified;
    /// - when the host has stopped, or is dropped, without starting the service.
    ///
    /// If the service runs at that request, the token is stopped before the token of its context is. The restart of a service,
    /// or of a group around it, does not stop the token. If other services wait for this
    /// service, use the token to release them: a queue closes when it stops. Stop callbacks on this token must not block.
    ///
    /// A service that wraps another one passes the call on. The default does nothing.
    fn attach(&mut self, retired: &StopToken) {
        let _ = retired;
    }

    /// Checks the configuration of the service. [`Host::start`](crate::Host::start) calls it before any thread exists.
    ///
    /// The default accepts everything. A service that wraps another service passes the call on.
    ///
    /// # Errors
    ///
    /// Any error is an error of the host's `start` that names this service. Nothing has been started then.
    ///
    /// ```
    /// use hosted::{Host, Result, Service};
    ///
    /// struct Poller { address: String }
    ///
    /// impl Service for Poller {
    ///     fn validate(&self) -> Result {
    ///         if self.address.is_empty() { Err("address must not be empty".into()) } else { Ok(()) }
    ///     }
    /// }
    ///
    /// let mut host = Host::new();
    /// host.add("poller", Poller { address: String::new() });
    /// let error = host.start().unwrap_err().to_string();
    /// assert!(error.contains("invalid service `poller`: address must not be empty"));
    /// ```
    fn validate(&self) -> Result {
        Ok(())
    }

    /// Returns `true` if `run` can be called more than once. If it returns `false`, a [`Restart`](crate::Restart) policy for this
    /// service is an error of [`Host::start`](crate::Host::start), and of [`DynamicGroup::add_with`](crate::DynamicGroup::add_with).
    ///
    /// The default returns `true`. The service that [`once`] creates returns `false`. A service that wraps another service passes
    /// the call on.
    fn can_restart(&self) -> bool {
        true
    }
}

impl<S: Service + ?Sized> Service for Box<S> {
    fn start(&mut self, ctx: &Context) -> Result {
        (**self).start(ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        (**self).run(ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        (**self).stop(ctx)
    }

    fn attach(&mut self, retired: &StopToken) {
        (**self).attach(retired);
    }

    fn validate(&self) -> Result {
        (**self).validate()
    }

    fn can_restart(&self) -> bool {
        (**self).can_restart()
    }
}

/// Creates a service whose `run` is `f`. .NET: `BackgroundService` with its `ExecuteAsync`.
///
/// ```
/// use hosted::{Host, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("poller", worker(|ctx| loop {
///     // poll something
///     ctx.sleep(Duration::from_secs(5))?; // returns Err(Stopped) at once when a stop is requested
/// }));
/// host.start().unwrap();
/// host.stop(Duration::from_secs(10)).unwrap();
/// ```
///
/// To call a function that returns another error type, for example `anyhow::Result`, convert the error with `?`:
/// `worker(|ctx| Ok(run(ctx)?))`.
#[doc(alias("BackgroundService", "ExecuteAsync"))]
pub fn worker<F>(f: F) -> impl Service
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    Worker(f)
}

struct Worker<F>(F);

impl<F: FnMut(&Context) -> Result + Send + 'static> Service for Worker<F> {
    fn run(&mut self, ctx: &Context) -> Result {
        (self.0)(ctx)
    }
}

/// Creates a service whose `run` is `f`, which is called once. So `f` may move what it has captured, such as a connection.
///
/// It is meant for the members of a [`DynamicGroup`](crate::DynamicGroup). The service completes when `f` returns `Ok`. Everything
/// that `f` has captured is dropped when `f` returns, on the thread of the service.
///
/// With a [`Restart`](crate::Restart) policy, the service is an error of [`Host::start`](crate::Host::start).
///
/// ```
/// use hosted::{Host, once};
///
/// let report = String::from("everything is fine");
/// let (sender, reports) = std::sync::mpsc::channel();
/// let mut host = Host::new();
/// host.add("reporter", once(move |_| Ok(sender.send(report)?))); // moves `report` out of the closure
/// host.run().unwrap();
/// assert_eq!(reports.recv().unwrap(), "everything is fine");
/// ```
#[doc(alias("FnOnce", "spawn", "spawn_blocking"))]
pub fn once<F>(f: F) -> impl Service
where
    F: FnOnce(&Context) -> Result + Send + 'static,
{
    Once(Some(f))
}

/// `None` after `run`.
struct Once<F>(Option<F>);

impl<F: FnOnce(&Context) -> Result + Send + 'static> Service for Once<F> {
    fn run(&mut self, ctx: &Context) -> Result {
        match self.0.take() {
            Some(f) => f(ctx),
            None => Err("the function of a `once` service was called before".into()),
        }
    }

    fn can_restart(&self) -> bool {
        false
    }
}

/// Creates a service whose `start` is `f`, and which then completes: start-up work that its dependents wait for.
///
/// Use it for a migration or to fill a cache. If `f` fails, the host does not start. systemd: `Type=oneshot`.
///
/// ```
/// use hosted::{Host, task};
///
/// let mut host = Host::new();
/// host.add("migrate", task(|_| {
///     // bring the schema up to date
///     Ok(())
/// }));
/// host.run().unwrap(); // returns, because every service has completed
/// ```
#[doc(alias = "oneshot")]
pub fn task<F>(f: F) -> impl Service
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    Task(f)
}

struct Task<F>(F);

impl<F: FnMut(&Context) -> Result + Send + 'static> Service for Task<F> {
    fn start(&mut self, ctx: &Context) -> Result {
        (self.0)(ctx)
    }

    fn run(&mut self, _: &Context) -> Result {
        Ok(())
    }
}
