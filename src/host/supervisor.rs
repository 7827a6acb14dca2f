//! Runs one service on its thread: `start`, `run`, `stop` and restarts. The exit is always recorded.

use crate::diagnose::{ThreadProbe, Waits, set_pulse, tidy_thread_name};
use crate::registry::{HostHandle, ServiceId};
use crate::report::{BoxError, Cause, Phase, Result, ServiceError, drop_error, is_stop_error};
use crate::service::{Backoff, Context, Restart, Service};
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::text::Escaped;
use crate::util::time::remaining;
use std::error::Error;
use std::time::Duration;

/// Calls `start`, `run` and `stop` of a service, again after each restart, and records each step.
pub(crate) fn supervise(service: Box<dyn Service>, ctx: Context, id: ServiceId, restart: Restart) {
    ctx.record_thread_end();
    let guard = ExitGuard { host: ctx.host().clone(), id, completed: false };
    record_exit_after(guard, |guard| {
        tidy_thread_name(&Escaped(ctx.name()).to_string());
        ctx.stall_watch().into_iter().for_each(|watch| set_pulse(watch.pulse.clone()));
        let backoff = restart.backoff_of_runs();
        let mut runner = ServiceRunner { service, ctx, id, thread: ThreadProbe::this(), restart: &restart, backoff };
        guard.completed = runner.run_until_exit_catching_panics();
        runner.drop_service();
    });
}

/// Records the exit of the service when it is dropped, whatever happened before.
struct ExitGuard {
    host: HostHandle,
    id: ServiceId,
    completed: bool,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        self.host.registry().mark_exited(self.id, self.completed);
    }
}

/// Records the exit after everything that `f` captured has been dropped. This is a function and not a block in the closure of
/// the thread: what a concrete closure captured would be dropped after the exit was recorded.
fn record_exit_after<F: FnOnce(&mut ExitGuard)>(mut guard: ExitGuard, f: F) {
    f(&mut guard);
}

struct ServiceRunner<'a> {
    service: Box<dyn Service>,
    ctx: Context,
    id: ServiceId,
    thread: Option<ThreadProbe>,
    restart: &'a Restart,
    backoff: Backoff<'a>,
}

/// What follows after one round of `start`, `run` and `stop`.
enum AfterRun {
    /// The service has completed, or has stopped on request.
    Finished { completed: bool },
    /// The service has failed finally, and the failure is recorded.
    Failed,
    /// The service starts again after this time, or when a stop is requested.
    Again(Duration),
    /// The service has failed to finish its accepted work after a stop request. It tries again after this time.
    Finish(Duration),
}

/// If less time than this is left, a service that failed to finish its accepted work does not try again.
const SHORTEST_TRY: Duration = Duration::from_millis(10);

/// How a call of user code ended, other than by an error.
enum CallOutcome {
    Returned,
    /// The call returned `Stopped` after a stop request.
    Stopped,
}

impl ServiceRunner<'_> {
    /// Like `run_until_exit`. A panic outside the calls of the service comes from user code too, for example from the drop of an
    /// error.
    fn run_until_exit_catching_panics(&mut self) -> bool {
        catch_panic(|| self.run_until_exit()).unwrap_or_else(|text| {
            self.fail(self.error(Phase::Drop, Cause::Panicked(text)));
            false
        })
    }

    /// Runs the service until it will not be restarted. Returns `true` if the service completed.
    fn run_until_exit(&mut self) -> bool {
        loop {
            match self.start_run_stop() {
                AfterRun::Finished { completed } => return completed,
                AfterRun::Failed => return false,
                // A stop request ends the sleep. The registry then decides whether the service runs one last time.
                AfterRun::Again(after) => {
                    self.ctx.registry().mark_backing_off(self.id);
                    _ = self.ctx.sleep_as(after, Waits::Restart);
                }
                AfterRun::Finish(after) if self.sleep_before_deadline(after) => {}
                AfterRun::Finish(_) => {
                    self.ctx.registry().give_up_finishing(self.id);
                    return false;
                }
            }
        }
    }

    /// Sleeps even if a stop was requested. Returns `false` if the stop deadline has come.
    fn sleep_before_deadline(&self, time: Duration) -> bool {
        self.ctx.registry().mark_backing_off(self.id);
        // Wait for a token, because the deadline may move closer meanwhile.
        let deadline = self.ctx.for_job().stop_token().clone();
        self.ctx.clock().sleep(time, &deadline, Waits::Restart).is_ok()
    }

    fn start_run_stop(&mut self) -> AfterRun {
        if !self.ctx.registry().mark_starting(self.id, self.thread.clone(), self.restart.finishes_on_stop()) {
            return AfterRun::Finished { completed: false };
        }
        match self.call(Phase::Start, |service, ctx| service.start(ctx)) {
            Ok(CallOutcome::Returned) => {}
            Ok(CallOutcome::Stopped) => return AfterRun::Finished { completed: false },
            Err(error) => return self.after_failed_start(error),
        }
        let may_run = self.ctx.registry().mark_ready(self.id);
        let next = if may_run { self.run() } else { AfterRun::Failed };
        self.ctx.registry().mark_cleaning_up(self.id);
        match (self.call(Phase::Stop, |service, ctx| service.stop(ctx)), next) {
            (Ok(_), next) => next,
            (Err(error), next @ (AfterRun::Again(_) | AfterRun::Finish(_))) => {
                self.ctx.report_error(error);
                next
            }
            (Err(error), AfterRun::Finished { .. } | AfterRun::Failed) => self.fail(error),
        }
    }

    fn after_failed_start(&mut self, error: ServiceError) -> AfterRun {
        let is_first = !self.was_ready();
        let retries = if is_first { self.restart.retries_first_start() } else { self.restart.retries_failure() };
        self.again_or_fail(retries, Duration::ZERO, error)
    }

    fn run(&mut self) -> AfterRun {
        let began = self.ctx.clock().now();
        let watch = self.ctx.stall_watch().cloned();
        watch.iter().for_each(|watch| watch.begin_run(began));
        let ran = self.call(Phase::Run, |service, ctx| service.run(ctx));
        watch.iter().for_each(|watch| watch.end_run());
        let ran_for = self.ctx.clock().now().saturating_duration_since(began);
        match ran {
            Err(error) => self.again_or_fail(self.restart.retries_failure(), ran_for, error),
            Ok(_) if self.ctx.stop_requested() => AfterRun::Finished { completed: false },
            Ok(_) if self.is_final() => AfterRun::Failed,
            Ok(_) if !self.restart.retries_completion() || self.is_complete() => AfterRun::Finished { completed: true },
            Ok(_) => match self.backoff.next(ran_for) {
                Some(after) => self.again(None, after),
                None => {
                    let text = "completed again after reaching its restart limit";
                    let error = self.error(Phase::Run, Cause::Failed(text.into()));
                    self.fail(error)
                }
            },
        }
    }

    fn again_or_fail(&mut self, retries: bool, ran_for: Duration, error: ServiceError) -> AfterRun {
        let is_final = self.is_final();
        if is_final && error.source().is_some_and(is_stop_error) && !self.ctx.stop_requested() {
            return AfterRun::Failed; // the recorded failure has caused this error
        }
        let stop_requested = self.ctx.stop_requested();
        if is_final || !retries || stop_requested && !self.can_finish() {
            return self.fail(error);
        }
        match self.backoff.next(ran_for) {
            Some(after) if stop_requested => self.finish(error, after),
            Some(after) => self.again(Some(error), after),
            None => self.fail(error),
        }
    }

    /// Returns `true` if the service may start again after its stop request. A service that was never ready holds nothing.
    fn can_finish(&self) -> bool {
        self.restart.finishes_on_stop() && self.was_ready()
    }

    /// Schedules another try of a service that failed to finish what it holds, if there is time for it. A long backoff
    /// is cut to half of the time left, so that there is always time for one more try.
    fn finish(&self, error: ServiceError, after: Duration) -> AfterRun {
        let left = remaining(self.ctx.stop_deadline());
        if left < SHORTEST_TRY {
            return self.fail(error);
        }
        let after = after.min(left / 2);
        self.announce_restart(Some(error), after);
        AfterRun::Finish(after)
    }

    fn again(&self, error: Option<ServiceError>, after: Duration) -> AfterRun {
        self.announce_restart(error, after);
        AfterRun::Again(after)
    }

    fn announce_restart(&self, error: Option<ServiceError>, after: Duration) {
        self.ctx.registry().schedule_restart(self.id, error.as_ref(), after);
        drop_error(error);
    }

    /// Returns `true` if a `start` of the service has ever returned `Ok` in time.
    fn was_ready(&self) -> bool {
        self.ctx.registry().was_ready(self.id)
    }

    /// Returns `true` if a final failure was recorded while the service was running: a start that timed out, or a group with a
    /// hung service.
    fn is_final(&self) -> bool {
        self.ctx.registry().has_failed(self.id)
    }

    /// Returns `true` if the service has marked itself as complete.
    fn is_complete(&self) -> bool {
        self.ctx.registry().is_complete(self.id)
    }

    fn fail(&self, error: ServiceError) -> AfterRun {
        self.ctx.registry().record_failure(self.id, &error);
        AfterRun::Failed
    }

    /// Calls user code. Returns an error or a panic with the service and the phase.
    fn call(
        &mut self,
        phase: Phase,
        f: impl FnOnce(&mut Box<dyn Service>, &Context) -> Result,
    ) -> Result<CallOutcome, ServiceError> {
        let cause = match catch_panic(|| f(&mut self.service, &self.ctx)) {
            Ok(Ok(())) => return Ok(CallOutcome::Returned),
            Ok(Err(error)) if phase != Phase::Stop && self.is_requested_stop(&error) => {
                drop_error(error);
                return Ok(CallOutcome::Stopped);
            }
            Ok(Err(error)) => Cause::Failed(error),
            Err(text) => Cause::Panicked(text),
        };
        Err(self.error(phase, cause))
    }

    /// Returns `true` if the error was caused by the stop request of this service.
    fn is_requested_stop(&self, error: &BoxError) -> bool {
        self.ctx.stop_requested() && is_stop_error(&**error)
    }

    fn error(&self, phase: Phase, cause: Cause) -> ServiceError {
        ServiceError::new(self.ctx.shared_name(), phase, cause)
    }

    /// Drops the value of the service on its own thread.
    fn drop_service(self) {
        self.ctx.registry().mark_dropping(self.id);
        if let Err(text) = drop_catching_panic(self.service) {
            let error = ServiceError::new(self.ctx.shared_name(), Phase::Drop, Cause::Panicked(text));
            self.ctx.registry().record_failure(self.id, &error);
        }
    }
}
