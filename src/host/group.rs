//! `group`: a service that contains a host, so that several services start, fail and stop together (Erlang: `one_for_all`).

use super::Host;
use crate::diagnose::ProcSnapshot;
use crate::registry::Registry;
use crate::report::{BoxError, Cause, HostError, Outcome, Report, Result, ServiceError, StopReason};
use crate::service::{Context, Service};
use crate::stop::{StopSource, Stopped};
use std::time::Duration;

/// Creates a service that contains several services. `fill` adds them to a new [`Host`] at each start and restart.
///
/// - The group is ready when all its services are ready. It fails when one of them fails finally.
/// - A restart creates new services. All old services have stopped before the first new service starts.
/// - Statuses, events, reports and thread names show a service of the group as `group/child`.
/// - The services use the clock of the group, and share its stop deadline.
/// - If a service of the group is hung, the group is hung too, and is never restarted.
/// - `fill` may only add services. If it starts or stops its host, the group fails.
///
/// Erlang: a `one_for_all` supervisor.
///
/// ```
/// use hosted::{Host, Restart, group, worker};
///
/// let mut host = Host::new();
/// host.add("feed", group(|feed| {
///     feed.add("reader", worker(|ctx| { ctx.wait(); Ok(()) }));
///     feed.add("parser", worker(|ctx| { ctx.wait(); Ok(()) }));
///     Ok(())
/// }))
/// .restart(Restart::on_failure());
/// host.start().unwrap();
/// assert_eq!(&*host.handle().services()[1].name, "feed/reader");
/// # host.stop(std::time::Duration::from_secs(10)).unwrap();
/// ```
#[doc(alias("one_for_all", "supervisor"))]
pub fn group<F>(fill: F) -> impl Service
where
    F: FnMut(&mut Host) -> Result + Send + 'static,
{
    Group { fill, host: None }
}

struct Group<F> {
    fill: F,
    /// The inner host, from its start until `close`.
    host: Option<Host>,
}

impl<F> Service for Group<F>
where
    F: FnMut(&mut Host) -> Result + Send + 'static,
{
    fn start(&mut self, ctx: &Context) -> Result {
        let mut host = Host::inside(ctx);
        (self.fill)(&mut host)?;
        let registry = host.registry.clone();
        // If this is the last run after a stop request, the stop token has stopped already. Then the deadline ends the start.
        let stop = if ctx.is_finishing() { ctx.for_job().stop_token().clone() } else { ctx.stop_token().clone() };
        let link = stop.on_stop(move || registry.request_stop(StopReason::Requested).run_on_thread());
        let started = host.start();
        drop(link);
        match started {
            Ok(()) => {
                self.host = Some(host);
                Ok(())
            }
            Err(error) if is_hung(error.report()) => {
                wait_for_hung(&mut host, &error, ctx)?;
                Err(Stopped.into()) // the stop was requested, or the failure has been recorded
            }
            Err(error) => {
                pass_on_completion(&host, ctx);
                interrupted(error.into_interrupted().map_err(cause)?, ctx)
            }
        }
    }

    fn run(&mut self, ctx: &Context) -> Result {
        if let Some(host) = &self.host {
            let stopping = host.handle().stopping();
            StopSource::linked([ctx.stop_token(), &stopping]).token().wait();
            if !ctx.stop_requested() && host.wait() == StopReason::Requested {
                stop_application(ctx);
            }
            pass_on_completion(host, ctx);
        }
        self.close(ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.close(ctx) // if `run` was not called, or panicked
    }
}

impl<F> Group<F> {
    fn close(&mut self, ctx: &Context) -> Result {
        self.host.take().map_or(Ok(()), |host| close(host, ctx))
    }
}

/// Stops the inner host of the group whose context is `ctx`. Returns when nothing of its services is left.
pub(super) fn close(mut host: Host, ctx: &Context) -> Result {
    // The registry gives this stop the deadline of the group, even if the stop of the group is requested meanwhile.
    let timeout = ctx.stop_deadline().map_or(host.stop_timeout, |_| Duration::MAX);
    match host.stop(timeout) {
        Ok(_) => Ok(()),
        Err(error) if is_hung(error.report()) => wait_for_hung(&mut host, &error, ctx),
        Err(error) => Err(cause(error)),
    }
}

/// An interrupted start is no failure: a child requested the stop, or the stop of the group was requested.
fn interrupted(report: Report, ctx: &Context) -> Result {
    if !ctx.stop_requested() {
        match report.reason {
            StopReason::Requested => stop_application(ctx),
            _ => return Ok(()), // a child completed, and with it the group: there is nothing left to run
        }
    }
    Err(Stopped.into())
}

/// A child that requests a stop means the whole application. So the outer host is stopped, which stops the group in its turn.
pub(super) fn stop_application(ctx: &Context) {
    ctx.host().request_stop();
    if ctx.id().is_some() {
        ctx.wait();
    }
}

/// If the services of a group would find nothing to do in another run, the group has completed finally.
fn pass_on_completion(host: &Host, ctx: &Context) {
    if host.registry.are_services_complete() {
        ctx.mark_complete();
    }
}

fn is_hung(report: &Report) -> bool {
    report.services.iter().any(|service| matches!(service.outcome, Outcome::Hung(_)))
}

/// Waits for the hung children, so that the group is hung as long as they are. A later stop that waits for the group then reports
/// its true outcome. If no stop of the group was requested, the hung child is a final failure of the group.
fn wait_for_hung(host: &mut Host, error: &HostError, ctx: &Context) -> Result {
    let unrequested = !ctx.stop_requested();
    if let (Some(id), true, Some(first)) = (ctx.id(), unrequested, error.failures().first()) {
        let (registry, cause) = (ctx.registry(), Cause::Failed(first.clone().into()));
        registry.record_failure(id, &ServiceError::new(ctx.shared_name(), first.phase(), cause));
        registry.mark_hung(id, registry.stuck(id).inspect(&ProcSnapshot::new()));
    }
    loop {
        // A stop may have set a deadline again, which has passed: remove it.
        host.registry.limit_stop(None);
        match host.stop_within(Duration::MAX, true) {
            Err(error) if is_hung(error.report()) => {}
            Err(error) if !unrequested => return Err(cause(error)),
            _ => return Ok(()), // the failures have been recorded
        }
    }
}

/// Returns the error of the group: the first failure among its children.
fn cause(error: HostError) -> BoxError {
    match error.failures().first() {
        Some(first) => first.clone().into(),
        None => error.into(),
    }
}

impl Host {
    /// Creates the inner host of the group whose context is `ctx`. The outer host shows its services.
    fn inside(ctx: &Context) -> Self {
        let registry = Registry::new(ctx.id().map(|_| (ctx.registry(), ctx.shared_name())));
        if let Some(id) = ctx.id() {
            // `adopt` returns the registry of the old children. It is dropped outside the lock: their errors are user code.
            drop(ctx.registry().adopt(id, registry.clone()));
        }
        let retired = ctx.id().map(|_| ctx.retired().0);
        Host::on(registry, ctx.clock().clone(), Some(ctx.shared_name()), retired)
    }
}
