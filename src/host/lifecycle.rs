//! The lifecycle of a host: `start`, `wait`, `stop`, and `run`, which is all three.

use super::Host;
use super::progress::describe_waiting;
use super::shutdown::shut_down;
use super::startup::{Aborted, start_all};
use super::validate::{SetupError, validate};
use crate::diagnose::{ProcSnapshot, Waits};
use crate::registry::{DrainWait, ServiceId};
use crate::report::{BoxError, HostError, HostState, Report, StopReason};
use crate::signal::{ctrl_c, next_signal_after, register_host};
use crate::stop::{StopCallback, StopToken};
use crate::util::sync::Arc;
use std::time::Duration;

impl Host {
    /// Starts every service. Returns when all services are ready.
    ///
    /// If a service fails to start or takes too long, no more services start. The host then stops the services that had started,
    /// in reverse order, within its `stop_timeout`.
    ///
    /// After `start` has returned `Ok`, a stop request or a failure stops no service on its own. The services run until the owner
    /// of the host calls [`stop`](Self::stop) or drops the host. [`wait`](Self::wait) returns when it is time to stop. If the
    /// owner must not block, see [`HostHandle::request_stop`](crate::HostHandle::request_stop).
    ///
    /// # Errors
    ///
    /// [`HostError::failures`] has the failures, the root cause first. It is empty in two cases:
    ///
    /// - The set-up failed: a name is not valid, a thread cannot be created, or the host was started before. Every service that
    ///   had started is stopped again.
    /// - A stop was requested during start-up.
    #[doc(alias = "StartAsync")]
    pub fn start(&mut self) -> Result<(), HostError> {
        if let Err(setup) = self.check() {
            return Err(self.refused(setup));
        }
        if !self.begin() {
            return Err(self.error(None));
        }
        self.watch();
        #[cfg(feature = "disconnect")]
        super::disconnect::check(&self.services);
        let setup = match start_all(self) {
            Ok(()) => return Ok(()),
            Err(Aborted::StopRequested) => None,
            Err(Aborted::Setup(setup)) => {
                let culprit = setup.culprit().cloned().unwrap_or_default();
                self.registry.request_stop(StopReason::Failed(culprit)).run_on_thread();
                Some(setup)
            }
        };
        self.shut_down(self.stop_timeout, false);
        Err(self.error(setup.map(BoxError::from)))
    }

    /// Blocks until it is time to stop the host, and returns the reason. Call [`stop`](Self::stop) afterwards: `wait` stops
    /// nothing.
    ///
    /// It returns when the first of these has happened, even if that was before the call:
    ///
    /// - a stop is requested,
    /// - a service has failed finally,
    /// - a service with [`on_completion(StopHost)`](crate::OnCompletion::StopHost) has completed,
    /// - all services have completed.
    #[doc(alias = "WaitForShutdown")]
    pub fn wait(&self) -> StopReason {
        self.registry.wait_for_stop_reason()
    }

    /// Stops every service in reverse order and joins its thread, within `timeout`.
    ///
    /// A service receives its stop request when its dependents have stopped, or have used up their share of the time. Every
    /// service receives its request before the deadline, and the host waits for every service until the deadline. The result
    /// names the services that have not stopped by then. The host keeps tracking them; call `stop` again to wait for them. On a
    /// host that was never started, `stop` returns `Ok` and calls no service.
    ///
    /// If the host has a [`drain`](Self::drain) and runs, the services first run on for the rest of that time, in addition to
    /// `timeout`. With a timeout of zero, there is no drain.
    ///
    /// After the drain, `stop` returns within `timeout` plus at most 250 ms, no matter how many services are hung. The host inspects what threads
    /// are blocked in only while there is time; the report has no `blocked_in` for the other threads. The calling thread writes
    /// the log lines, so a slow logger takes additional time. If the whole process was frozen beyond the deadline, by SIGSTOP or
    /// a suspended machine, the services have another 250 ms.
    ///
    /// A service must not call `stop` on its own host, or drop that host: it would wait for itself, and be hung until the call
    /// returns. Call [`HostHandle::request_stop`](crate::HostHandle::request_stop) instead.
    ///
    /// # Errors
    ///
    /// Returns an error, which contains the report, in these cases:
    ///
    /// - a service has failed, no matter when,
    /// - the thread of a service is still alive,
    /// - a service was added after the start.
    #[doc(alias = "StopAsync")]
    pub fn stop(&mut self, timeout: Duration) -> Result<Report, HostError> {
        if !timeout.is_zero() {
            self.drain_if_requested(timeout);
        }
        self.stop_within(timeout, false)
    }

    /// Starts the host, waits, and stops the host. The wait ends at ctrl-c, SIGTERM or SIGHUP, at a stop request, after a
    /// failure, or when all services have completed.
    ///
    /// A second signal terminates the process at once, with exit code 130. Before that, a warning in the log names the services
    /// that are left. While the host [drains](Self::drain), a second signal ends the drain instead, and a third one terminates the
    /// process.
    ///
    /// # Errors
    ///
    /// The errors of [`start`](Self::start) and [`stop`](Self::stop), and an error if the signal handler cannot be installed. A
    /// stop request during start-up is no error.
    #[doc(alias("RunAsync", "Run"))]
    pub fn run(&mut self) -> Result<Report, HostError> {
        let signal = ctrl_c().map_err(|error| self.refused(SetupError::NoSignals(error)))?;
        self.run_for(&signal, StopReason::Signal)
    }

    /// Runs the host like [`run`](Self::run), but waits for the token `stop` instead of a signal. Use it if the program has its
    /// own signal handler: this method installs none.
    ///
    /// Inside a service, pass [`ctx.stop_token()`](crate::Context::stop_token), or use a [`group`](crate::group). Otherwise the
    /// inner host does not learn that the service has to stop.
    ///
    /// # Errors
    ///
    /// The errors of [`start`](Self::start) and [`stop`](Self::stop). A stop request during start-up is no error.
    pub fn run_until(&mut self, stop: &StopToken) -> Result<Report, HostError> {
        self.run_for(stop, StopReason::Requested)
    }

    fn run_for(&mut self, stop: &StopToken, reason: StopReason) -> Result<Report, HostError> {
        let (registry, is_signal) = (self.registry.clone(), reason == StopReason::Signal);
        // On another thread: dropping `_link` waits for this callback, and must not wait for the callbacks of `stopping`.
        let _link = stop.on_stop(move || registry.request_stop(reason).run_on_thread());
        match self.start() {
            Ok(()) => {}
            Err(error) => return error.into_interrupted(),
        }
        let second = (is_signal && self.registry.has_drain()).then(|| self.end_drain_at_next_signal(stop));
        self.wait();
        if !self.stop_timeout.is_zero() {
            self.drain_if_requested(self.stop_timeout);
        }
        drop(second); // from now on, another signal ends the process
        self.stop_within(self.stop_timeout, false)
    }

    /// Until the guard is dropped, the signal after the one that stops `first` does not end the process. It is another request, and
    /// so ends the drain.
    fn end_drain_at_next_signal(&self, first: &StopToken) -> StopCallback {
        let registry = self.registry.clone();
        next_signal_after(first).on_stop(move || registry.request_stop(StopReason::Signal).run_on_thread())
    }

    /// Lets the services run on for the time of the drain, if a stop is requested and nothing else stops the host. If no stop is
    /// requested yet, this requests it. The shutdown that follows may take `timeout`.
    fn drain_if_requested(&self, timeout: Duration) {
        let (callbacks, wait) = self.registry.begin_drain(timeout);
        callbacks.run_on_thread();
        // The result is not used: the shutdown follows in any case.
        match wait {
            Some(DrainWait { until: Some(until), over }) => _ = self.clock.sleep_until(until, &over, Waits::Drain),
            Some(DrainWait { until: None, over }) => _ = over.wait_until(None, Waits::Drain),
            None => {}
        }
    }

    pub(super) fn stop_within(&mut self, timeout: Duration, quiet: bool) -> Result<Report, HostError> {
        match self.registry.host_state() {
            HostState::New => self.never_started(StopReason::Requested),
            HostState::Stopped if !self.registry.has_unfinished_stop() => {}
            _ => self.shut_down(timeout, quiet),
        }
        self.result()
    }

    fn shut_down(&mut self, timeout: Duration, quiet: bool) {
        shut_down(self, timeout, quiet);
        #[cfg(all(feature = "systemd", target_os = "linux"))]
        self.flush_companions();
    }

    fn check(&mut self) -> Result<(), SetupError> {
        if let Some(name) = self.added_late.clone() {
            return Err(SetupError::AddedLate(name));
        }
        if self.registry.host_state() != HostState::New {
            return Err(SetupError::RanBefore);
        }
        self.dependencies = validate(&mut self.services, &self.names)?;
        Ok(())
    }

    /// Returns `false` if a stop was requested before. Then no service may start.
    fn begin(&mut self) -> bool {
        #[cfg(feature = "metrics")]
        self.registry.describe_metrics();
        let policies: Vec<_> = self.services.iter().map(|hosted| hosted.options.policy()).collect();
        match self.registry.begin_start(&policies) {
            Ok(callbacks) => {
                callbacks.run_on_thread();
                true
            }
            Err(reason) => {
                self.never_started(reason);
                false
            }
        }
    }

    /// Lets a second ctrl-c log which services are left. A group needs no registration: its outer host names it.
    fn watch(&mut self) {
        if self.prefix.is_some() {
            return;
        }
        let registry = Arc::downgrade(&self.registry);
        self.watched = Some(register_host(move || {
            let registry = registry.upgrade()?;
            let left = describe_waiting(&mut ProcSnapshot::new(), |most| registry.unfinished(most));
            (!left.is_empty()).then_some(left)
        }));
    }

    fn never_started(&self, reason: StopReason) {
        self.registry.stop_unstarted(reason).run_on_thread();
        (0..self.services.len()).map(ServiceId::new).for_each(|id| self.registry.retire(id));
    }
}
