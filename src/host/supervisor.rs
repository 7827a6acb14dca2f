//! One service's life on its thread: start, run, stop, restarts included, and the end, which is always told.

use crate::diagnose::{ThreadProbe, Waits, tidy_thread_name};
use crate::registry::HostHandle;
use crate::report::{BoxError, Cause, Phase, Result, ServiceError, drop_error, is_stop_error};
use crate::service::{Backoff, Context, Restart, Service};
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::text::Escaped;
use crate::util::time::remaining;
use std::error::Error;
use std::time::Duration;

/// Lives the whole life of `service`, as the row `index` of its host's board.
pub(crate) fn supervise(service: Box<dyn Service>, ctx: Context, index: usize, restart: Restart) {
    ctx.host().hears_of_the_end(index);
    let end = ExitGuard { host: ctx.host().clone(), index, completed: false };
    tell_end_after(end, |end| {
        tidy_thread_name(&Escaped(ctx.name()).to_string());
        let backoff_of_run = restart.backoff_of_run();
        let mut life =
            ServiceRunner { service, ctx, index, thread: ThreadProbe::this(), restart: &restart, backoff_of_run };
        end.completed = life.live_catching_panics();
        life.drop_service();
    });
}

/// Tells the board of the end when it is dropped, whatever happened before.
struct ExitGuard {
    host: HostHandle,
    index: usize,
    completed: bool,
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        self.host.board().ended(self.index, self.completed);
    }
}

/// The end is told after everything that `f` captured has been dropped. A function and not a block in the thread's
/// closure: what a concrete closure captured would be dropped after the end was told.
fn tell_end_after<F: FnOnce(&mut ExitGuard)>(mut end: ExitGuard, f: F) {
    f(&mut end);
}

struct ServiceRunner<'a> {
    service: Box<dyn Service>,
    ctx: Context,
    index: usize,
    thread: Option<ThreadProbe>,
    restart: &'a Restart,
    backoff_of_run: Backoff<'a>,
}

/// What follows a run.
enum AfterRun {
    /// It has completed, or stopped on request.
    Finished { completed: bool },
    /// It has failed for good; the board knows.
    Failed,
    /// The service starts again after this time, or when a stop is requested.
    Again(Duration),
    /// A stop was requested, and the service has failed to finish what it holds. It tries again after this time.
    Finish(Duration),
}

/// With less time than this left, a service that failed to finish what it holds does not try again.
const SHORTEST_TRY: Duration = Duration::from_millis(10);

/// How a call of the service's own code ended, if not by an error.
enum CallOutcome {
    Returned,
    /// By `Stopped`, on request.
    Stopped,
}

impl ServiceRunner<'_> {
    /// As `live`. What panics outside the calls of the service is foreign all the same: the drop of its error, say.
    fn live_catching_panics(&mut self) -> bool {
        catch_panic(|| self.live()).unwrap_or_else(|text| {
            self.fail(self.error(Phase::Drop, Cause::Panicked(text)));
            false
        })
    }

    /// All lives of the service. True: it completed.
    fn live(&mut self) -> bool {
        loop {
            match self.one_life() {
                AfterRun::Finished { completed } => return completed,
                AfterRun::Failed => return false,
                // A stop request ends the sleep. The registry then decides whether a last life follows.
                AfterRun::Again(after) => _ = self.ctx.sleep_as(after, Waits::Restart),
                AfterRun::Finish(after) if self.sleep_before_deadline(after) => {}
                AfterRun::Finish(_) => {
                    self.ctx.board().not_finished(self.index);
                    return false;
                }
            }
        }
    }

    /// Sleeps although a stop was requested. Returns `false` if the stop deadline has come.
    fn sleep_before_deadline(&self, time: Duration) -> bool {
        // The deadline may come to be sooner meanwhile: a token hears of that.
        let until_deadline_source = self.ctx.until_deadline_source().token();
        self.ctx.clock().sleep(time, &until_deadline_source, Waits::Restart).is_ok()
    }

    fn one_life(&mut self) -> AfterRun {
        if !self.ctx.board().starting(self.index, self.thread.clone(), self.restart.finishes_on_stop()) {
            return AfterRun::Finished { completed: false };
        }
        match self.call(Phase::Start, |service, ctx| service.start(ctx)) {
            Ok(CallOutcome::Returned) => {}
            Ok(CallOutcome::Stopped) => return AfterRun::Finished { completed: false },
            Err(error) => return self.after_failed_start(error),
        }
        let may_run = self.ctx.board().ready(self.index);
        let next = if may_run { self.run() } else { AfterRun::Failed };
        self.ctx.board().closing(self.index);
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
        let ran = self.call(Phase::Run, |service, ctx| service.run(ctx));
        let ran_for = self.ctx.clock().now().saturating_duration_since(began);
        match ran {
            Err(error) => self.again_or_fail(self.restart.retries_failure(), ran_for, error),
            Ok(_) if self.ctx.stop_requested() => AfterRun::Finished { completed: false },
            Ok(_) if self.is_final() => AfterRun::Failed,
            Ok(_) if !self.restart.retries_completion() || self.is_complete() => AfterRun::Finished { completed: true },
            Ok(_) => match self.backoff_of_run.next(ran_for) {
                Some(after) => self.again(None, after),
                None => {
                    let text = "it ended by itself once more than its restart policy allows";
                    let error = self.error(Phase::Run, Cause::Failed(text.into()));
                    self.fail(error)
                }
            },
        }
    }

    fn again_or_fail(&mut self, retries: bool, ran_for: Duration, error: ServiceError) -> AfterRun {
        let is_final = self.is_final();
        if is_final && error.source().is_some_and(is_stop_error) && !self.ctx.stop_requested() {
            return AfterRun::Failed; // which this is the end of
        }
        let stop_requested = self.ctx.stop_requested();
        if is_final || !retries || stop_requested && !self.can_finish() {
            return self.fail(error);
        }
        match self.backoff_of_run.next(ran_for) {
            Some(after) if stop_requested => self.finish(error, after),
            Some(after) => self.again(Some(error), after),
            None => self.fail(error),
        }
    }

    /// Whether a service that was asked to stop may start again. A service that was never ready holds nothing to finish.
    fn can_finish(&self) -> bool {
        self.restart.finishes_on_stop() && self.was_ready()
    }

    /// The service failed to finish what it holds: it tries again, if there is time for it. A long backoff is cut to
    /// half of the time left, so that there is always time for one more try.
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
        self.ctx.board().restarting(self.index, error.as_ref(), after);
        drop_error(error);
    }

    /// Whether a `start` of this service has ever returned `Ok`, in time.
    fn was_ready(&self) -> bool {
        self.ctx.board().read(|inner| inner.slots[self.index].start_took.is_some())
    }

    /// Whether it has been called failed while it was still alive: too late a start, a group with a hung child.
    fn is_final(&self) -> bool {
        self.ctx.board().read(|inner| inner.slots[self.index].failure.is_some())
    }

    /// Whether it has said that another run would find nothing to do.
    fn is_complete(&self) -> bool {
        self.ctx.board().read(|inner| inner.slots[self.index].complete)
    }

    fn fail(&self, error: ServiceError) -> AfterRun {
        self.ctx.board().failed(self.index, &error);
        AfterRun::Failed
    }

    /// Calls the service's own code. An error or a panic comes back as who, when and why.
    fn call(
        &mut self,
        phase: Phase,
        f: impl FnOnce(&mut Box<dyn Service>, &Context) -> Result,
    ) -> Result<CallOutcome, ServiceError> {
        let cause = match catch_panic(|| f(&mut self.service, &self.ctx)) {
            Ok(Ok(())) => return Ok(CallOutcome::Returned),
            Ok(Err(error)) if phase != Phase::Stop && self.was_asked(&error) => {
                drop_error(error);
                return Ok(CallOutcome::Stopped);
            }
            Ok(Err(error)) => Cause::Failed(error),
            Err(text) => Cause::Panicked(text),
        };
        Err(self.error(phase, cause))
    }

    /// Whether `error` is there because this very service was asked to stop.
    fn was_asked(&self, error: &BoxError) -> bool {
        self.ctx.stop_requested() && is_stop_error(&**error)
    }

    fn error(&self, phase: Phase, cause: Cause) -> ServiceError {
        ServiceError::new(self.ctx.shared_name(), phase, cause)
    }

    /// Drops the service's value here, on its own thread.
    fn drop_service(self) {
        self.ctx.board().dropping(self.index);
        if let Err(text) = drop_catching_panic(self.service) {
            let error = ServiceError::new(self.ctx.shared_name(), Phase::Drop, Cause::Panicked(text));
            self.ctx.board().failed(self.index, &error);
        }
    }
}
