//! A consumer that forms batches by weight, such as their number of bytes: a service that collects items of a queue.

use hosted::{BoxError, Context, Queue, RecvError, Result, Service, StopCallback, StopToken};
use std::time::Duration;

/// Calls `handle` with batches of a weight of at least `weight`. An item waits for others for at most `delay`.
///
/// A batch that fails is reported, and the service continues with the next batch. After a stop request, the service
/// handles the accepted items until its stop deadline.
pub(crate) struct Batches<T, F> {
    queue: Queue<T>,
    weight: usize,
    delay: Duration,
    weigh: fn(&T) -> usize,
    handle: F,
    /// The items that were taken and not handled.
    batch: Vec<T>,
    /// `None` without a host.
    retirement: Option<Retirement>,
}

/// What the service needs to close its queue when the service will not be started again.
struct Retirement {
    token: StopToken,
    /// Closes the queue, even while a batch is in progress.
    _closes_queue: StopCallback,
}

/// The error of a batch.
#[derive(Debug, thiserror::Error)]
#[error("cannot handle a batch of {items} items")]
struct BatchError {
    items: usize,
    source: BoxError,
}

impl<T, F> Batches<T, F>
where
    T: Send + 'static,
    F: FnMut(&[T], &Context) -> Result + Send + 'static,
{
    pub(crate) fn new(queue: &Queue<T>, weight: usize, delay: Duration, weigh: fn(&T) -> usize, handle: F) -> Self {
        Batches { queue: queue.clone(), weight, delay, weigh, handle, batch: Vec::new(), retirement: None }
    }

    /// Blocks until a batch has its weight, or until its first item has waited for the delay.
    fn collect(&mut self, ctx: &Context) -> Result<(), RecvError> {
        self.batch.push(self.queue.recv(ctx)?);
        self.fill(self.delay, ctx)
    }

    /// Takes items until the batch has its weight, for at most `delay`. A stop request ends the wait, and the batch keeps
    /// its items.
    fn fill(&mut self, delay: Duration, ctx: &Context) -> Result<(), RecvError> {
        let until = ctx.clock().now().checked_add(delay);
        let left = || until.map_or(Duration::MAX, |until| until.saturating_duration_since(ctx.clock().now()));
        while self.batch.iter().map(self.weigh).sum::<usize>() < self.weight {
            match self.queue.recv_timeout(ctx, left()) {
                Ok(Some(item)) => self.batch.push(item),
                Ok(None) | Err(RecvError::Disconnected) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn handle(&mut self, ctx: &Context, job: &Context) {
        if let Err(source) = (self.handle)(&self.batch, job) {
            ctx.report_error(BatchError { items: self.batch.len(), source });
        }
        self.batch.clear();
    }

    /// Handles the remaining items after a stop request, until `job` is stopped.
    fn finish(&mut self, ctx: &Context, job: &Context) {
        if self.is_retired() {
            self.queue.close(); // the callback may not have run yet
        }
        loop {
            let filled = self.fill(Duration::ZERO, job);
            if self.batch.is_empty() {
                break;
            }
            self.handle(ctx, job);
            if filled.is_err() {
                break;
            }
        }
        if !self.queue.is_empty() && self.is_retired() {
            ctx.report_queue_not_drained(self.queue.len());
        }
    }

    /// Returns `true` if no later run can take the items that are left.
    fn is_retired(&self) -> bool {
        self.retirement.as_ref().is_some_and(|retirement| retirement.token.stop_requested())
    }
}

impl<T, F> Service for Batches<T, F>
where
    T: Send + 'static,
    F: FnMut(&[T], &Context) -> Result + Send + 'static,
{
    fn attach(&mut self, retired: &StopToken) {
        let queue = self.queue.clone();
        let closes_queue = retired.on_stop(move || queue.close());
        self.retirement = Some(Retirement { token: retired.clone(), _closes_queue: closes_queue });
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let job = ctx.until_deadline();
        loop {
            match self.collect(ctx) {
                Ok(()) => self.handle(ctx, &job),
                Err(RecvError::Stopped) => break,
                Err(_) => {
                    ctx.mark_complete(); // the queue is closed and empty
                    return Ok(());
                }
            }
        }
        self.finish(ctx, &job);
        Ok(())
    }

    fn validate(&self) -> Result {
        if self.weight == 0 { Err("weight of a batch must not be zero".into()) } else { Ok(()) }
    }
}
