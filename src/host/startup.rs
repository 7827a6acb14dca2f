//! The start: each service starts when its dependencies are ready.

use super::Host;
use super::graph::{Walk, dependents};
use super::progress::{Reminder, describe_waiting};
use super::stop_request::{ServiceCallbacks, request_stop};
use super::supervisor::supervise;
use super::validate::SetupError;
use crate::diagnose::ProcSnapshot;
use crate::registry::{HostHandle, ServiceId, StartLimit, StartupEvent};
use crate::report::EventKind;
use crate::service::Context;
use crate::util::panic::catch_panic;
use crate::util::sync::{now, thread};
use crate::util::text::Escaped;
use crate::util::time::{deadline, since};
use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

/// Why a start was not finished.
pub(super) enum Aborted {
    /// There is a reason to stop.
    StopRequested,
    Setup(SetupError),
}

/// Starts every service. After an error nothing more starts, and the caller must stop what has started.
pub(super) fn start_all(host: &mut Host) -> Result<(), Aborted> {
    let began = now();
    let of_host = |limit| Some(StartLimit { at: deadline(limit)?, limit, of_host: true });
    let host_limit = host.start_timeout.and_then(of_host);
    let dependents = dependents(&host.dependencies);
    let (limits, reminder, snapshot) = (BTreeSet::new(), Reminder::new(began), ProcSnapshot::new());
    Startup { host, began, host_limit, walk: Walk::new(&dependents), limits, reminder, snapshot }.run()
}

struct Startup<'h> {
    host: &'h mut Host,
    began: Instant,
    /// How long the whole start may take.
    host_limit: Option<StartLimit>,
    /// From dependencies to dependents.
    walk: Walk<'h>,
    /// When the first starts in progress time out.
    limits: BTreeSet<(Instant, ServiceId)>,
    reminder: Reminder,
    snapshot: ProcSnapshot,
}

impl Startup<'_> {
    fn run(mut self) -> Result<(), Aborted> {
        self.walk.free().into_iter().try_for_each(|id| self.start(id))?;
        loop {
            let limit = self.limits.first().map(|limit| limit.0);
            let until = limit.into_iter().chain(self.reminder.next()).min();
            match self.host.registry.wait_for_startup(until) {
                Some(StartupEvent::Started) => return Ok(()),
                Some(StartupEvent::StopRequested) => return Err(Aborted::StopRequested),
                Some(StartupEvent::Resolved(services)) => {
                    services.into_iter().try_for_each(|id| self.start_dependents(id))?;
                }
                None => {}
            }
            self.check_limits();
            self.log_progress();
        }
    }

    fn start(&mut self, id: ServiceId) -> Result<(), Aborted> {
        let of_service = |limit| Some(StartLimit { at: deadline(limit)?, limit, of_host: false });
        let own = self.host.services[id.index()].options.start_timeout.and_then(of_service);
        let limit = own.into_iter().chain(self.host_limit).min_by_key(|limit| limit.at);
        self.limits.extend(limit.map(|limit| (limit.at, id)));
        spawn(self.host, id, limit).map_err(Aborted::Setup)
    }

    /// Starts the services that waited for this one alone.
    fn start_dependents(&mut self, id: ServiceId) -> Result<(), Aborted> {
        let free: Vec<ServiceId> = self.walk.release(id).collect();
        free.into_iter().try_for_each(|id| self.start(id))
    }

    /// Requests the stop of the services that missed their start timeout. The registry records the failure.
    fn check_limits(&mut self) {
        while let Some(&(at, id)) = self.limits.first().filter(|limit| limit.0 <= now()) {
            self.limits.remove(&(at, id));
            if self.host.registry.fail_if_start_timed_out(id) {
                let service = &self.host.services[id.index()];
                let callbacks = request_stop(&self.host.registry, id, service, None, None);
                callbacks.into_iter().for_each(ServiceCallbacks::schedule);
            }
        }
    }

    fn log_progress(&mut self) {
        if self.reminder.is_due(now()) {
            let services = describe_waiting(&mut self.snapshot, |most| self.host.registry.waiting_for_start(most));
            self.host.registry.emit(None, EventKind::StillStarting { waited: since(self.began), services });
        }
    }
}

/// Creates the thread of a service.
fn spawn(host: &mut Host, id: ServiceId, limit: Option<StartLimit>) -> Result<(), SetupError> {
    let (registry, hosted) = (&host.registry, &mut host.services[id.index()]);
    let Some(name) = registry.begin_service(id, limit) else { return Ok(()) };
    // The value exists until the host starts, and a host starts once.
    let Some(service) = hosted.service.take() else { return Ok(()) };
    if let Some(limit) = hosted.options.stalls_after {
        if let Err(error) = registry.watch_for_stalls(id, limit, &host.clock) {
            registry.undo_begin_service(id);
            return Err(SetupError::NoMonitor { service: name, error });
        }
    }
    let token = hosted.source.token();
    let ctx = Context::for_service(name.clone(), token, host.clock.clone(), HostHandle::new(registry.clone()), id);
    let restart = hosted.options.restart.clone();
    let mut builder = thread::Builder::new().name(Escaped(&name).to_string());
    if let Some(bytes) = hosted.options.stack_size {
        builder = builder.stack_size(bytes);
    }
    // Without a thread, the service is dropped here, and its `Drop` is user code.
    let spawned = catch_panic(|| builder.spawn(move || supervise(service, ctx, id, restart)));
    match spawned.unwrap_or_else(|text| Err(io::Error::other(text))) {
        Ok(thread) => {
            hosted.thread = Some(thread);
            Ok(())
        }
        Err(error) => {
            registry.undo_begin_service(id);
            Err(SetupError::NoThread { service: name, error })
        }
    }
}
