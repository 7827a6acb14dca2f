//! The one life of a host: start, wait, stop, and `run`, which is all three.

use super::Host;
use super::progress::describe_waiting;
use super::shutdown::shut_down;
use super::startup::{Aborted, start_all};
use super::validate::{SetupError, validate};
use crate::diagnose::ProcSnapshot;
use crate::registry::ServiceId;
use crate::report::{BoxError, HostError, HostState, Report, StopReason};
use crate::signal::{ctrl_c, register_host};
use crate::stop::StopToken;
use crate::util::sync::Arc;
use std::time::Duration;

impl Host {
    /// Starts every service; returns when all are ready.
    ///
    /// If one fails or takes too long, nothing more starts, and those that run are stopped in reverse, within the
    /// host's `stop_timeout`.
    ///
    /// After it has returned `Ok`, a request or a failure stops nothing by itself: the services run until the owner of the host
    /// calls [`stop`](Self::stop) or drops it. [`wait`](Self::wait) tells when to. For an owner that must not block, see
    /// [`HostHandle::request_stop`](crate::HostHandle::request_stop).
    ///
    /// # Errors
    ///
    /// What went wrong, the root cause first. [`HostError::failures`] is empty when it was the set-up (bad names, no
    /// thread to be had, a second start): then nothing was called, or all that was started is stopped again. It is
    /// also empty when a stop was asked for meanwhile.
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
        shut_down(self, self.stop_timeout, false);
        Err(self.error(setup.map(BoxError::from)))
    }

    /// Waits until the host is to stop, and says why. It stops nothing itself: call [`stop`](Self::stop) then.
    ///
    /// That is when a stop is requested, a service has failed for good, one with
    /// [`on_completion(StopHost)`](crate::OnCompletion::StopHost) has completed, or all have completed. Returns at once when
    /// it has happened before.
    #[doc(alias = "WaitForShutdown")]
    pub fn wait(&self) -> StopReason {
        self.registry.wait_for_stop_reason()
    }

    /// Stops every service, in reverse, and joins its thread; for at most `timeout`.
    ///
    /// A service is asked when those that came after it have ended, or have used up their share of the time: everyone
    /// is asked before the deadline, and waited for until it. What is left then is named in the result, stays on the
    /// books, and is waited for again by another `stop`. Without a start it does nothing, well.
    ///
    /// It returns within `timeout` and 100 ms, however many services are left. What the threads are blocked in is read for as
    /// many as there is time for; of the others the report has no `blocked_in`. Log lines are written by the calling thread:
    /// a slow logger comes on top. If the whole process was frozen beyond the deadline, by SIGSTOP or a suspended machine,
    /// services have another 250 ms.
    ///
    /// A service that calls this on its own host, or drops it, waits for itself and is hung until the call comes back:
    /// [`HostHandle::request_stop`](crate::HostHandle::request_stop) is what it wants.
    ///
    /// # Errors
    ///
    /// When a service failed, at whatever time, or its thread is still alive, or when a service was added after the start.
    /// The report is in it.
    #[doc(alias = "StopAsync")]
    pub fn stop(&mut self, timeout: Duration) -> Result<Report, HostError> {
        self.stop_within(timeout, false)
    }

    /// Starts, waits, and stops: until ctrl-c, SIGTERM or SIGHUP, a request, a failure, or until all have completed.
    ///
    /// A second signal ends the process at once, with exit code 130; a warning in the log names the services that are left.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start) and [`stop`](Self::stop), and when the signal handler cannot be installed. A stop
    /// asked for while it starts is none.
    #[doc(alias("RunAsync", "Run"))]
    pub fn run(&mut self) -> Result<Report, HostError> {
        let signal = ctrl_c().map_err(|error| self.refused(SetupError::NoSignals(error)))?;
        self.run_for(&signal, StopReason::Signal)
    }

    /// As [`run`](Self::run), until `stop` instead of a signal: for a program with a handler of its own.
    ///
    /// Inside a service give it [`ctx.stop_token()`](crate::Context::stop_token), or use a [`group`](crate::group): nothing else
    /// tells it of that service's stop.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run). No handler is installed.
    pub fn run_until(&mut self, stop: &StopToken) -> Result<Report, HostError> {
        self.run_for(stop, StopReason::Requested)
    }

    fn run_for(&mut self, stop: &StopToken, reason: StopReason) -> Result<Report, HostError> {
        let registry = self.registry.clone();
        // Elsewhere: dropping the link waits for this callback, and must not wait for those of `stopping`.
        let _link = stop.on_stop(move || registry.request_stop(reason).run_on_thread());
        match self.start() {
            Ok(()) => {}
            Err(error) => return error.into_interrupted(),
        }
        self.wait();
        self.stop(self.stop_timeout)
    }

    pub(super) fn stop_within(&mut self, timeout: Duration, quiet: bool) -> Result<Report, HostError> {
        match self.registry.host_state() {
            HostState::New => self.never_started(StopReason::Requested),
            HostState::Stopped if !self.registry.has_unfinished_stop() => {}
            _ => shut_down(self, timeout, quiet),
        }
        self.result()
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

    /// False: a stop had been requested before, and nothing is to start.
    fn begin(&mut self) -> bool {
        match self.registry.begin_start(self.services.len()) {
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

    /// From now on a second ctrl-c logs which services are left. A group is named by the host that it is in.
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
