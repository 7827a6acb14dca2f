//! A service that is a host of its own: services that stand and fall together (Erlang's `one_for_all`).

use super::Host;
use crate::diagnose::ProcSnapshot;
use crate::registry::Registry;
use crate::report::{BoxError, Cause, HostError, Outcome, Report, Result, ServiceError, StopReason};
use crate::service::{Context, Service};
use crate::stop::{StopSource, Stopped};
use std::time::Duration;

/// A service that is a host of its own: `fill` fills a fresh [`Host`] at each start and restart.
///
/// The group is ready when all its services are, and fails when one of them fails for good. Restarted, it has fresh
/// services, and all old ones are gone before a new one starts. They stand as `group/child` in statuses, events,
/// reports and thread names, and go by the group's clock. In a stop they have the group's time. Where one of them is
/// hung, so is the group, and it is never restarted. `fill` only adds: one that starts or stops the host that it is given
/// fails the group. Erlang's `one_for_all` supervisor.
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
    /// From a start to the end of its run.
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
        // In a life that is there to finish what the group holds, the stop was requested before: its deadline ends the start.
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
                Err(Stopped.into()) // on request, or else it has been called failed
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
        self.close(ctx) // where `run` did not come to it
    }
}

impl<F> Group<F> {
    fn close(&mut self, ctx: &Context) -> Result {
        let Some(mut host) = self.host.take() else { return Ok(()) };
        // The board tells this stop of the group's deadline, also when the group is asked to stop meanwhile.
        let timeout = ctx.stop_deadline().map_or(host.stop_timeout, |_| Duration::MAX);
        match host.stop(timeout) {
            Ok(_) => Ok(()),
            Err(error) if is_hung(error.report()) => wait_for_hung(&mut host, &error, ctx),
            Err(error) => Err(cause(error)),
        }
    }
}

/// A start that was stopped is nobody's failure: a child asked for it, or the group was asked to stop.
fn interrupted(report: Report, ctx: &Context) -> Result {
    if !ctx.stop_requested() {
        match report.reason {
            StopReason::Requested => stop_application(ctx),
            _ => return Ok(()), // a child completed, and with it the group: there is nothing left to run
        }
    }
    Err(Stopped.into())
}

/// A child that asks its host to stop means the application, not the drawer that it is in. The group is stopped in its
/// turn.
fn stop_application(ctx: &Context) {
    ctx.host().request_stop();
    if ctx.id().is_some() {
        ctx.wait();
    }
}

/// A group whose services would find nothing to do in another life has completed for good.
fn pass_on_completion(host: &Host, ctx: &Context) {
    if host.registry.are_services_complete() {
        ctx.mark_complete();
    }
}

fn is_hung(report: &Report) -> bool {
    report.services.iter().any(|service| matches!(service.outcome, Outcome::Hung(_)))
}

/// The group ends when its last child does: so a group with a hung child is hung itself, and a later stop that waits
/// for it finds its true end. Where it was not asked to stop, that a child is hung is its own final failure.
fn wait_for_hung(host: &mut Host, error: &HostError, ctx: &Context) -> Result {
    let unrequested = !ctx.stop_requested();
    if let (Some(id), true, Some(first)) = (ctx.id(), unrequested, error.failures().first()) {
        let (registry, cause) = (ctx.registry(), Cause::Failed(first.clone().into()));
        registry.record_failure(id, &ServiceError::new(ctx.shared_name(), first.phase(), cause));
        registry.mark_hung(id, registry.stuck(id).inspect(&ProcSnapshot::new()));
    }
    loop {
        // A stop of the group's host may set a deadline again, and finds the child hung again.
        host.registry.limit_stop(None);
        match host.stop_within(Duration::MAX, true) {
            Err(error) if is_hung(error.report()) => {}
            Err(error) if !unrequested => return Err(cause(error)),
            _ => return Ok(()), // what went wrong has been said
        }
    }
}

/// What the group fails with: the first failure among its children.
fn cause(error: HostError) -> BoxError {
    match error.failures().first() {
        Some(first) => first.clone().into(),
        None => error.into(),
    }
}

impl Host {
    /// The host of the group that `ctx` is of: a part of that one's picture.
    fn inside(ctx: &Context) -> Self {
        let registry = Registry::new(ctx.id().map(|_| (ctx.registry(), ctx.shared_name())));
        if let Some(id) = ctx.id() {
            // The old children's board is dropped once the locks are let go: their errors are foreign code.
            drop(ctx.registry().adopt(id, registry.clone()));
        }
        let retired = ctx.id().map(|_| ctx.retired().0);
        Host::on(registry, ctx.clock().clone(), Some(ctx.shared_name()), retired)
    }
}
