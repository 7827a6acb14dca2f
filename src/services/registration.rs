//! `Registration`: the place of a consumer in its queue, from the creation of the consumer to its drop.

use super::queue::{ConsumerId, JobMeter, Queue};
use crate::diagnose::show_life;
use crate::report::Result;
use crate::service::Context;
use crate::stop::{StopCallback, StopToken};

/// What all kinds of consumers tell their queue: when they run, when they stop, and which items they leave.
pub(super) struct Registration<T> {
    queue: Queue<T>,
    id: ConsumerId,
    jobs: JobMeter,
}

impl<T> Registration<T> {
    pub(super) fn new(queue: &Queue<T>) -> Self {
        Registration { queue: queue.clone(), id: queue.new_consumer_id(), jobs: JobMeter::default() }
    }

    pub(super) fn queue(&self) -> &Queue<T> {
        &self.queue
    }

    /// Records the stop request, which closes the queue unless another consumer keeps it open.
    ///
    /// A consumer calls it before it takes the remaining items, because the callback of `close_on_stop` may not have run yet.
    pub(super) fn mark_stop_requested(&self) {
        self.queue.mark_stop_requested(self.id);
    }

    /// Leaves the queue. The items that the consumer holds go back into the queue. Reports the items that are left.
    pub(super) fn leave(&self, ctx: &Context, held: Vec<T>) {
        let items = self.queue.unregister(self.id, held);
        if items > 0 {
            ctx.report_queue_not_drained(items);
        }
    }

    /// Leaves the queue when the consumer is dropped, and there is no context to report to.
    pub(super) fn leave_dropped(&self, held: Vec<T>) {
        self.queue.unregister_and_warn(self.id, held);
    }

    /// Calls `f`, which returns how many jobs it has handled, and records their number and the time. Its begin and its end are
    /// signs of life.
    pub(super) fn time<R>(&self, f: impl FnOnce() -> (usize, R)) -> R {
        show_life();
        let result = self.jobs.time(f);
        show_life();
        result
    }

    /// Returns an error if no job can ever be in the queue.
    pub(super) fn validate(&self) -> Result {
        if self.queue.capacity() == 0 { Err("queue capacity must not be zero".into()) } else { Ok(()) }
    }
}

impl<T: Send + 'static> Registration<T> {
    pub(super) fn attach(&self, retired: &StopToken) {
        self.queue.register(self.id, retired, true);
    }

    /// Registers the consumer as running.
    pub(super) fn enter(&mut self, ctx: &Context) {
        self.jobs = self.queue.job_meter(ctx.name());
        let (retired, hosted) = ctx.retired();
        self.queue.register(self.id, &retired, hosted);
        self.queue.mark_running(self.id);
    }

    /// Closes the queue at the stop request, even while a job is in progress, unless another consumer keeps it open.
    pub(super) fn close_on_stop(&self, ctx: &Context) -> StopCallback {
        let (queue, id) = (self.queue.clone(), self.id);
        ctx.on_stop(move || queue.mark_stop_requested(id))
    }
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        // For a consumer that was added to a host and never ran. Otherwise, the consumer has left already.
        self.leave_dropped(Vec::new());
    }
}
