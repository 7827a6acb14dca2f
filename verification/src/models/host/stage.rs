//! A host with probes, and what must be true of it whatever the schedule.

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
    /// Who comes after whom, by their places: also by way of others.
    pub(super) after: Vec<Vec<usize>>,
    pub(super) events: Receiver<Event>,
    /// A service may be started again, so that not every failure is final.
    pub(super) restarts: bool,
    /// Services that may start once more after their stop request, to finish what they hold.
    pub(super) finishes: Vec<&'static str>,
}

impl Stage {
    /// A deadline never comes: who is not woken is found, as a deadlock.
    pub(super) fn still() -> Self {
        time::stands_still();
        Self::new()
    }

    /// A host with the services `a`, `b` and `c` after `a`, and `d` after both. Time stands still.
    pub(super) fn diamond() -> Self {
        let mut stage = Self::still();
        stage.add("a", &[], Probe::new());
        stage.add("b", &["a"], Probe::new());
        stage.add("c", &["a"], Probe::new());
        stage.add("d", &["b", "c"], Probe::new());
        stage
    }

    /// One check of a deadline in twenty finds that it has passed.
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
        let place = |after| self.names.iter().position(|&name| name == after).expect("one that was added");
        let direct: Vec<usize> = after.iter().map(|&after| place(after)).collect();
        let mut all: Vec<usize> =
            direct.iter().flat_map(|&place| self.after[place].clone()).chain(direct.clone()).collect();
        all.sort_unstable();
        all.dedup();
        self.after.push(all);
        self.names.push(name);
        self.host.add(name, Noted::new(name, &self.journal, service)).after(after)
    }

    /// As many probes that wait for their stop, side by side.
    pub(super) fn add_waiting(&mut self, names: &[&'static str]) {
        for name in names {
            self.add(name, &[], Probe::new());
        }
    }

    /// A stop without a deadline.
    pub(super) fn stop(&mut self) -> Result<Report, HostError> {
        self.host.stop(Duration::MAX)
    }

    /// Starts; where it did start, stops. The result of whichever ended it.
    pub(super) fn start_and_stop(&mut self) -> Result<Report, HostError> {
        self.host.start()?;
        self.stop()
    }

    /// Looks at the board from another thread, `times` times, and finds it in order.
    pub(super) fn watched(&self, times: usize) -> JoinHandle<()> {
        let (handle, after) = (self.host.handle(), self.after.clone());
        spawn("watcher", move || (0..times).for_each(|_| laws::of_the_registry(handle.registry(), &after)))
    }

    /// Asks for a stop, from another thread.
    pub(super) fn stop_requested_on_a_thread(&self) -> JoinHandle<()> {
        let handle: HostHandle = self.host.handle();
        spawn("requester", move || handle.request_stop())
    }

    /// All that must be true at the end of a host that has left nobody behind.
    pub(super) fn check(&self, result: &Result<Report, HostError>) {
        laws::of_the_end(self, result);
        laws::of_the_events(self);
    }
}

pub(super) fn spawn<R: Send + 'static>(name: &str, f: impl FnOnce() -> R + Send + 'static) -> JoinHandle<R> {
    Builder::new().name(name.to_owned()).spawn(f).unwrap()
}
