//! What a host runs: `Service`, and the two that are made of one function, `worker` and `task`.

use crate::context::Context;
use crate::error::Result;
use crate::stop::StopToken;

/// Something with a `start`, a `run` and a `stop`, called on an OS thread of its own.
///
/// They are called in that order and never two at once. The service is ready, and those that come after it start,
/// when `start` has returned `Ok`. `stop` is called once for every `start` that returned `Ok`, however `run` ended,
/// also by a panic. It is *not* how a running service is asked to end: that is the token of the [`Context`], which
/// `run` looks at or waits on. `stop` cleans up.
///
/// `run` ends in one of three ways. `Ok`: the service has completed (or stopped, if it was asked to). An error with
/// [`Stopped`](crate::Stopped) in its chain after the service was asked to stop: a clean end. Any other error, and
/// a panic: a failure. A service whose blocking call is woken by force says
/// `Err(_) if ctx.stop_requested() => return Ok(())`.
///
/// A [restart](crate::Restart) uses the same value, also after a panic: `start` must rebuild what a broken run left.
/// The value is dropped on its own thread.
///
/// .NET's `IHostedService` and `BackgroundService` in one. A unit test needs no host:
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
pub trait Service: Send + 'static {
    /// Makes ready. Those that come after this service start when it has returned `Ok`.
    ///
    /// The default does nothing.
    ///
    /// # Errors
    ///
    /// Any: the service has failed to start, and its `stop` is not called.
    #[doc(alias = "StartAsync")]
    fn start(&mut self, ctx: &Context) -> Result {
        let _ = ctx;
        Ok(())
    }

    /// Does the work, until it is done or `ctx` says stop.
    ///
    /// The default waits for the stop.
    ///
    /// # Errors
    ///
    /// [`Stopped`](crate::Stopped) after a stop request is a clean end. Any other error is a failure.
    #[doc(alias = "ExecuteAsync")]
    fn run(&mut self, ctx: &Context) -> Result {
        ctx.wait();
        Ok(())
    }

    /// Cleans up after `run`, however that ended.
    ///
    /// In a stop `ctx` is stopped by now: each of its waits ends at once. [`Context::stop_deadline`] says how much time
    /// there is.
    ///
    /// The default does nothing.
    ///
    /// # Errors
    ///
    /// Any: it is reported and keeps no other service from being stopped. A `Stopped` is an error like any other
    /// here: what was to be cleaned up was not.
    #[doc(alias = "StopAsync")]
    fn stop(&mut self, ctx: &Context) -> Result {
        let _ = ctx;
        Ok(())
    }

    /// Receives a token that is stopped once the service will not be started again.
    ///
    /// [`Host::add`](crate::Host::add) calls it once, before anything else. The token is stopped
    ///
    /// - when the outermost host requests the service's stop: of a service in a [`group`](crate::group), the group's stop;
    /// - when the service has completed or failed for good, just before its host is told of the end;
    /// - when the host has stopped, or is dropped, without starting the service.
    ///
    /// The restart of a service, or of a group around it, does not stop the token. A service that others wait for uses
    /// it to let them go: a queue closes itself by it. Stop callbacks on this token must not block.
    ///
    /// A service that wraps another one passes the call on. The default does nothing.
    fn attach(&mut self, retired: &StopToken) {
        let _ = retired;
    }

    /// What is wrong with how the service was made: an error of the host's `start`, before any thread exists.
    #[doc(hidden)]
    fn flaw(&self) -> Option<String> {
        None
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

    fn flaw(&self) -> Option<String> {
        (**self).flaw()
    }
}

/// A service whose `run` is `f`. .NET: a `BackgroundService` with its `ExecuteAsync`.
///
/// ```
/// use hosted::{Host, worker};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("poller", worker(|ctx| loop {
///     // poll something
///     ctx.sleep(Duration::from_secs(5))?; // ends at once, as Err(Stopped), when a stop is asked for
/// }));
/// host.start().unwrap();
/// host.stop(Duration::from_secs(10)).unwrap();
/// ```
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

/// A service whose `start` is `f` and which then is done: start-up work that those after it wait for.
///
/// A migration, a cache to warm. When it fails, the host does not start. systemd: `Type=oneshot`.
///
/// ```
/// use hosted::{Host, task};
///
/// let mut host = Host::new();
/// host.add("migrate", task(|_| {
///     // bring the schema up to date
///     Ok(())
/// }));
/// host.run().unwrap(); // ends by itself: everything has completed
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
