//! A host with probes, and what must hold for it in every schedule.

use super::laws;
use super::probe::{Journal, Noted, Probe};
use crate::report::Event;
use crate::sync::thread::{Builder, JoinHandle};
use crate::sync::time;
use crate::{Host, HostError, HostHandle, Report, Service, ServiceOptions};
use crossbeam_channel::Receiver;
use std::time::Duration;

pub(super) struct Stage {
    pub(super) host: Host,
    pub(super) journal: Journal,
    pub(super) names: Vec<&'static str>,
    /// The direct and indirect dependencies of each service, by position.
    pub(super) after: Vec<Vec<usize>>,
    pub(super) events: Receiver<Event>,
    /// Whether a service may be restarted, so that not every failure is final.
    pub(super) restarts: bool,
    /// Services that may start once more after their stop request, to finish what they hold.
    pub(super) finishes: Vec<&'static str>,
}

impl Stage {
    /// No deadline is ever reached, so that a lost wake-up is found as a deadlock.
    pub(super) fn still() -> Self {
        time::stands_still();
        Self::new()
    }

    /// A host with `a`, `b` and `c` after `a`, and `d` after both. Time stands still.
    pub(super) fn diamond() -> Self {
        let mut stage = Self::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        stage.add("c", &["a"], Probe::new());
        stage.add("d", &["b", "c"], Probe::new());
        stage
    }

    /// One check of a deadline in twenty finds that the deadline has passed.
    pub(super) fn running() -> Self {
        time::runs_one_in(20);
        Self::new()
    }

    fn new() -> Self {
        let host = Host::new();
        let (journal, events) = (Journal::default(), host.events());
        Stage { host, journal, names: Vec::new(), after: Vec::new(), events, restarts: false, finishes: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        name: &'static str,
        after: &[&'static str],
        service: impl Service,
    ) -> &mut ServiceOptions {
        let position =
            |after| self.names.iter().position(|&name| name == after).expect("a service that was added earlier");
        let direct: Vec<usize> = after.iter().map(|&after| position(after)).collect();
        let mut all: Vec<usize> =
            direct.iter().flat_map(|&position| self.after[position].clone()).chain(direct.clone()).collect();
        all.sort_unstable();
        all.dedup();
        self.after.push(all);
        self.names.push(name);
        self.host.add(name, Noted::new(name, &self.journal, service)).after(after)
    }

    /// Adds independent probes that wait for their stop request.
    pub(super) fn add_waiting(&mut self, names: &[&'static str]) {
        for name in names {
            self.add(name, &[], Probe::new());
        }
    }

    /// Stops the host without a deadline.
    pub(super) fn stop(&mut self) -> Result<Report, HostError> {
        self.host.stop(Duration::MAX)
    }

    /// Starts the host, and stops it if it started. Returns the result of the call that ended it.
    pub(super) fn start_and_stop(&mut self) -> Result<Report, HostError> {
        self.host.start()?;
        self.stop()
    }

    /// Checks the registry from another thread, `times` times.
    pub(super) fn watched(&self, times: usize) -> JoinHandle<()> {
        let (handle, after) = (self.host.handle(), self.after.clone());
        spawn("watcher", move || (0..times).for_each(|_| laws::check_registry(handle.registry(), &after)))
    }

    /// Requests the stop of the host on another thread.
    pub(super) fn stop_requested_on_a_thread(&self) -> JoinHandle<()> {
        let handle: HostHandle = self.host.handle();
        spawn("requester", move || handle.request_stop())
    }

    /// Checks everything that must hold at the end of a host without hung services.
    pub(super) fn check(&self, result: &Result<Report, HostError>) {
        laws::check_end(self, result);
        laws::check_events(self);
    }
}

pub(super) fn spawn<R: Send + 'static>(name: &str, f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    Builder::new().name(name.to_owned()).spawn(f).unwrap()
}
