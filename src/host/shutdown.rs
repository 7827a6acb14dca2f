//! The shutdown loop: each service receives its stop request when its dependents have stopped, or have had their time.
//!
//! A service that receives its request with the time R left holds up its dependencies for at most R / 2, and for at most
//! its own stop timeout. So each of any number of unresponsive services leaves half of the time to the next one. When
//! hardly any time is left, every service receives its request. So all of them receive it before the deadline.
//!
//! The host of a group has two instants from its parent: the deadline that everything in the group is given, and the end
//! until which the outermost host waits. So the margin between the two is taken once, however deep groups are nested.

use super::Host;
use super::disconnect::DisconnectSchedule;
use super::early_stops::EarlyStops;
use super::graph::Walk;
use super::inspection::Inspection;
use super::progress::{Reminder, describe_waiting};
use super::reaper::Reapers;
use super::stop_budget::{JOIN_GRACE, StopBudget};
use super::stop_request::{ServiceCallbacks, request_stop};
use super::validate::HostedService;
use crate::diagnose::ProcSnapshot;
use crate::registry::{Registry, ServiceId, ShutdownEvent, StopBy};
use crate::report::EventKind;
use crate::stop::{callback_threads, timer};
use crate::util::sync::{Arc, now};
use crate::util::time::{remaining, since};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Stops every service that was started, within `timeout`. The registry then names every service that is left.
///
/// Logs what the shutdown waits for, unless `quiet`: a group that waits for a hung service is quiet.
pub(super) fn shut_down(host: &mut Host, timeout: Duration, quiet: bool) {
    let Host { registry, services, dependencies, reapers, .. } = host;
    let (callbacks, by) = registry.begin_shutdown(timeout);
    callbacks.run_on_thread();
    // A service that was added after the start never starts, and has no dependencies.
    dependencies.resize_with(services.len(), Vec::new);
    let mut shutdown = Shutdown::new(registry, services, dependencies, reapers, timeout);
    if quiet {
        shutdown.reminder = Reminder::never();
    }
    if let Some(by) = by.filter(|by| shutdown.budget.is_more_than(by)) {
        shutdown.shorten_deadline(by);
    }
    shutdown.run();
}

struct Shutdown<'h> {
    registry: &'h Arc<Registry>,
    services: &'h mut [HostedService],
    /// The dependencies of each service.
    dependencies: &'h [Vec<ServiceId>],
    reapers: &'h mut Reapers,
    budget: StopBudget,
    /// From dependents to dependencies. A service is released when it no longer holds up its dependencies.
    walk: Walk<'h>,
    requested: Vec<bool>,
    /// How many services have not received their stop request.
    unrequested: usize,
    released: Vec<bool>,
    /// Until when the services that received their request hold up their dependencies.
    holds: BTreeSet<(Instant, ServiceId)>,
    /// Set once a live service may no longer hold up its dependencies.
    early_stops: Option<EarlyStops>,
    /// The callbacks of services that received their request. They run once every service whose turn it is has its request.
    callbacks: Vec<ServiceCallbacks>,
    disconnects: DisconnectSchedule,
    inspection: Inspection,
    reminder: Reminder,
    snapshot: ProcSnapshot,
}

impl<'h> Shutdown<'h> {
    fn new(
        registry: &'h Arc<Registry>,
        services: &'h mut [HostedService],
        dependencies: &'h [Vec<ServiceId>],
        reapers: &'h mut Reapers,
        timeout: Duration,
    ) -> Self {
        let budget = StopBudget::new(timeout);
        Shutdown {
            registry,
            dependencies,
            reapers,
            walk: Walk::new(dependencies),
            requested: vec![false; services.len()],
            unrequested: services.len(),
            released: vec![false; services.len()],
            holds: BTreeSet::new(),
            early_stops: None,
            callbacks: Vec::new(),
            disconnects: DisconnectSchedule::new(budget.deadline(), services),
            inspection: Inspection::new(budget.end()),
            reminder: Reminder::new(now()),
            snapshot: ProcSnapshot::new(),
            budget,
            services,
        }
    }

    fn run(mut self) {
        let began = now();
        self.request_roots();
        loop {
            self.grant_last_moment();
            // Disconnect first: inspecting threads takes time, and the services that receive their stop request next must be
            // given a deadline that is still correct.
            #[cfg(feature = "disconnect")]
            self.disconnects.run_due(self.registry, self.services, self.budget.deadline());
            self.expire_holds();
            self.request_all_if_urgent();
            self.reapers.add_if_stalled();
            if self.unrequested == 0 {
                self.inspection.step(self.registry, self.budget.end());
            }
            self.grant_last_moment(); // again: the process may have been frozen in one of the steps above
            if remaining(self.budget.end()).is_zero() {
                break;
            }
            if self.reminder.is_due(now()) {
                let services = describe_waiting(&mut self.snapshot, |most| self.registry.waiting_for_stop(most));
                self.registry.emit(None, EventKind::StillStopping { waited: since(began), services });
            }
            match self.wait() {
                Some(ShutdownEvent::Exited(services)) => services.into_iter().for_each(|id| self.handle_exit(id)),
                Some(ShutdownEvent::LessTime(by)) => self.shorten_deadline(by),
                Some(ShutdownEvent::AllJoined) => break,
                None => {}
            }
        }
        self.schedule_callbacks();
        self.finish();
    }

    /// Gives the new deadline to every service that has its request, if there is less time than before.
    fn shorten_deadline(&mut self, by: StopBy) {
        self.budget.shorten(by);
        self.inspection = Inspection::none();
        self.announce_deadline();
    }

    /// Gives the deadline, which has changed, to the services that have their request.
    fn announce_deadline(&mut self) {
        self.disconnects = DisconnectSchedule::new(self.budget.deadline(), self.services);
        let longest = now() + self.budget.longest_hold();
        let holds = std::mem::take(&mut self.holds);
        self.holds = holds.into_iter().map(|(until, id)| (until.min(longest), id)).collect();
        for id in self.ids() {
            if self.requested[id.index()] && !self.registry.is_over(id) {
                let deadline = self.stop_deadline_for(id, now());
                // Without callbacks: the stop was requested before.
                _ = self.registry.mark_stop_requested(id, deadline, self.budget.end_of_all());
            }
        }
    }

    /// Grants the services a little more time if the process was frozen beyond the end of the shutdown.
    fn grant_last_moment(&mut self) {
        if self.budget.grant_last_moment(now()) {
            self.announce_deadline();
        }
    }

    /// Returns the deadline of a service that receives its request at `now`.
    fn stop_deadline_for(&mut self, id: ServiceId, now: Instant) -> Option<Instant> {
        let options = &self.services[id.index()].options;
        let own = options.stop_timeout.unwrap_or(Duration::MAX);
        if options.disconnects {
            let deadline = now.checked_add(own.min(self.disconnects.grace(now, self.budget.deadline())));
            self.disconnects.schedule(id, deadline);
            return deadline;
        }
        now.checked_add(own).into_iter().chain(self.budget.service_deadline(now)).min()
    }

    fn ids(&self) -> impl DoubleEndedIterator<Item = ServiceId> + use<> {
        (0..self.services.len()).map(ServiceId::new)
    }

    /// Requests the stop of the services that nothing depends on.
    fn request_roots(&mut self) {
        self.registry.take_exited().into_iter().for_each(|id| self.reap(id));
        // Taken from the back, so that they receive their requests in order of registration: in the order in which they
        // fell asleep. A kernel's list of ten thousand sleepers is searched from its front.
        let roots = self.walk.free().into_iter().rev().collect();
        self.request_in_turn(roots);
        self.schedule_callbacks();
    }

    fn schedule_callbacks(&mut self) {
        std::mem::take(&mut self.callbacks).into_iter().for_each(ServiceCallbacks::schedule);
    }

    /// Requests the stop of these services, and of the dependencies that become free because a service never started or has exited.
    fn request_in_turn(&mut self, mut free: Vec<ServiceId>) {
        while let Some(id) = free.pop() {
            if std::mem::replace(&mut self.requested[id.index()], true) {
                continue;
            }
            self.unrequested -= 1;
            if self.registry.is_over(id) {
                self.registry.retire(id); // it may never have been started
                self.release_into(id, &mut free);
            } else {
                self.request(id);
            }
        }
    }

    fn request(&mut self, id: ServiceId) {
        self.early_stops.iter_mut().for_each(|early_stops| early_stops.record(self.registry, id));
        let now = now();
        let longest = self.budget.longest_hold();
        let deadline = self.stop_deadline_for(id, now);
        let service = &self.services[id.index()];
        self.callbacks.extend(request_stop(self.registry, id, service, deadline, self.budget.end_of_all()));
        let hold = service.options.stop_timeout.unwrap_or(Duration::MAX).min(longest);
        let has_dependencies = !self.dependencies[id.index()].is_empty();
        if let (true, Some(until)) = (has_dependencies, now.checked_add(hold)) {
            self.holds.insert((until, id));
        }
    }

    /// Releases the service: it no longer holds up its dependencies. Adds the services that become free to `free`.
    fn release_into(&mut self, id: ServiceId, free: &mut Vec<ServiceId>) {
        if !std::mem::replace(&mut self.released[id.index()], true) {
            free.extend(self.walk.release(id));
        }
    }

    fn release(&mut self, id: ServiceId) {
        let mut free = Vec::new();
        self.release_into(id, &mut free);
        self.request_in_turn(free);
    }

    fn handle_exit(&mut self, id: ServiceId) {
        self.reap(id);
        if self.requested[id.index()] {
            self.release(id);
        } // otherwise its dependents still need it, and it is released when its turn comes
    }

    fn expire_holds(&mut self) {
        let now = now();
        while let Some(&(until, id)) = self.holds.first().filter(|hold| hold.0 <= now) {
            self.holds.remove(&(until, id));
            self.record_early_stops();
            self.release(id);
        }
    }

    /// Begins to record early stops: from now on a service may be alive when a dependency receives its stop request.
    fn record_early_stops(&mut self) {
        self.early_stops.get_or_insert_with(|| EarlyStops::new(self.dependencies));
    }

    /// Requests the stop of every service if no time is left for an order.
    fn request_all_if_urgent(&mut self) {
        if self.unrequested == 0 || !self.budget.is_urgent(self.unrequested) {
            return;
        }
        self.record_early_stops();
        while let Some((_, id)) = self.holds.pop_first() {
            self.release(id); // which may request other stops, and so add holds
        }
        for id in self.ids().rev() {
            self.request_in_turn(vec![id]);
        }
    }

    fn wait(&mut self) -> Option<ShutdownEvent> {
        self.schedule_callbacks();
        let urgent = self.budget.urgent_from(self.unrequested).filter(|_| self.unrequested > 0);
        let inspection = self.inspection.next().filter(|_| self.unrequested == 0);
        let own = [self.holds.first().map(|hold| hold.0), urgent, self.disconnects.next(), inspection];
        let others = [self.budget.end(), self.reminder.next(), self.reapers.next_check()];
        // If the operating system has no thread left, this thread does the work of the timer and of the callback threads.
        let for_others = [timer::tend(), callback_threads::tend()];
        let until = own.into_iter().chain(others).chain(for_others).flatten().min();
        self.registry.wait_for_shutdown(until, |by| self.budget.is_more_than(by))
    }

    fn reap(&mut self, id: ServiceId) {
        if let Some(thread) = self.services[id.index()].thread.take() {
            self.reapers.take(id, thread);
        }
    }

    fn finish(mut self) {
        let end = now() + JOIN_GRACE;
        self.registry.end_monitor();
        self.join_exited(end);
        self.registry.join_monitor(end);
        self.inspection.mark_remaining_hung(self.registry);
        self.registry.end_shutdown();
    }

    /// Waits until the threads that have exited are joined, until `end`: a little beyond the deadline if need be.
    fn join_exited(&mut self, end: Instant) {
        loop {
            let until = self.reapers.next_check().map_or(end, |check| check.min(end));
            match self.registry.wait_for_joins(until) {
                Some(exited) if exited.is_empty() => return,
                Some(exited) => exited.into_iter().for_each(|id| self.reap(id)),
                None if now() >= end => return,
                None => self.reapers.add_if_stalled(),
            }
        }
    }
}
