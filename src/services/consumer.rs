//! The service that works a queue's jobs off.

use super::queue::{MemberId, Queue};
use crate::report::Result;
use crate::service::{Context, Service};
use crate::stop::{RecvError, StopCallback, StopToken};
use crate::util::log::log_line;
use crate::util::panic::catch_panic;
use log::Level;

impl<T: Send + 'static> Queue<T> {
    /// A service that takes items out and calls `f` with each, one at a time. Several may share a queue.
    ///
    /// A job that fails or panics is logged, counted and told as an event, and the next one comes. On a stop, what
    /// was accepted is still handled: the [`Context`] that a job is given is not stopped by the stop request, but a tenth of
    /// the time (at least 100 ms, at most half) before [`stop_deadline`](Context::stop_deadline), so that a job can finish
    /// within the deadline. From then on no further item is taken; what is left is for [`drain`](Self::drain). Dropping all other clones of the queue does not close it: the consumer waits
    /// for the stop.
    ///
    /// When the queue is closed and empty, the consumer has [completed for good](Context::mark_complete): no
    /// [`Restart`](crate::Restart) policy starts it again. A consumer that is never added to a host closes nothing.
    pub fn consumer<F>(&self, f: F) -> Consumer<T, F>
    where
        F: FnMut(T, &Context) -> Result + Send + 'static,
    {
        Consumer { queue: self.clone(), id: self.new_member(), f }
    }
}

/// The service that [`Queue::consumer`] makes.
#[must_use = "a service does nothing until a host runs it"]
pub struct Consumer<T, F> {
    queue: Queue<T>,
    /// Which of the queue's consumers this is.
    id: MemberId,
    f: F,
}

impl<T, F> Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    /// Handles what comes until the service is asked to stop (true), or the queue is closed and empty (false).
    fn until_asked(&mut self, ctx: &Context, job: &Context) -> bool {
        loop {
            match self.queue.take(ctx.stop_token()) {
                Ok(item) => self.handle(item, ctx, job),
                Err(error) => return error == RecvError::Stopped,
            }
        }
    }

    /// Handles what is left, until the time is up.
    ///
    /// Until empty is enough. If this consumer has just closed the queue, nothing comes any more. If the queue is still
    /// open, another consumer, or the next run of this one, takes what comes later.
    fn finish(&mut self, ctx: &Context, job: &Context) {
        self.queue.asked(self.id); // if the callback has not come to it yet
        while !job.stop_requested() {
            let Some(item) = self.queue.try_take() else { break };
            self.handle(item, ctx, job);
        }
    }

    fn handle(&mut self, item: T, ctx: &Context, job: &Context) {
        log_line(Level::Trace, "hosted::queue", format_args!("service `{}` takes a job", ctx.name()));
        match catch_panic(|| (self.f)(item, job)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ctx.report_error(error),
            Err(text) => ctx.report_error(format!("a job panicked: {text}")),
        }
    }

    /// Leaves the queue as soon as the service is asked to stop, also while a job is under way.
    fn leave_when_asked(&self, ctx: &Context) -> StopCallback {
        let (queue, id) = (self.queue.clone(), self.id);
        ctx.on_stop(move || queue.asked(id))
    }

    fn leave(&self, ctx: &Context) {
        let items = self.queue.leave(self.id);
        if items > 0 {
            ctx.report_queue_not_drained(items);
        }
    }

    fn join(&self, ctx: &Context) {
        let (retired, hosted) = ctx.retired();
        self.queue.attach(self.id, &retired, hosted);
        self.queue.begin(self.id);
    }
}

impl<T, F> Service for Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    fn attach(&mut self, retired: &StopToken) {
        self.queue.attach(self.id, retired, true);
    }

    fn start(&mut self, ctx: &Context) -> Result {
        // From here on, not from `run`: a stop may come before `run` does, and producers stop before this consumer then too.
        self.join(ctx);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.join(ctx); // where a test calls it without a start
        let job = ctx.for_job();
        let _leaves = self.leave_when_asked(ctx);
        if self.until_asked(ctx, &job) {
            self.finish(ctx, &job);
        } else {
            ctx.mark_complete();
        }
        self.leave(ctx);
        Ok(())
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.leave(ctx); // where `run` did not come to it
        Ok(())
    }

    fn validate(&self) -> Result {
        if self.queue.room() == 0 { Err("queue capacity must not be zero".into()) } else { Ok(()) }
    }
}

impl<T, F> Drop for Consumer<T, F> {
    fn drop(&mut self) {
        // Where it was added and never ran.
        self.queue.leave_and_warn(self.id);
    }
}
