//! A batching consumer: a service that collects items and handles them in batches.

use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{BoxError, Context, RecvError, Result, Service, StopCallback, StopSource, StopToken};
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Accepts items for the batching consumer. Clones share one inbox.
pub(crate) struct Inbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    /// `None` when the inbox is closed. A push holds the lock for reading, so no push is in progress after the close.
    sender: RwLock<Option<Sender<T>>>,
    items: Receiver<T>,
    closed: StopSource,
}

impl<T: Send + 'static> Inbox<T> {
    pub(crate) fn new() -> Self {
        let (sender, items) = unbounded();
        Inbox(Arc::new(Shared { sender: RwLock::new(Some(sender)), items, closed: StopSource::new() }))
    }

    /// Accepts `item`, or returns it if the inbox is closed.
    pub(crate) fn push(&self, item: T) -> Result<(), T> {
        match &*self.0.sender.read().unwrap() {
            Some(sender) => sender.send(item).map_err(|error| error.into_inner()),
            None => Err(item),
        }
    }

    /// Refuses all further items.
    pub(crate) fn close(&self) {
        self.0.sender.write().unwrap().take();
        self.0.closed.request_stop();
    }

    /// Returns a token that is stopped when the inbox closes.
    pub(crate) fn closed(&self) -> StopToken {
        self.0.closed.token()
    }

    /// Removes and returns all items that the consumer did not take.
    pub(crate) fn drain(&self) -> Vec<T> {
        self.0.items.try_iter().collect()
    }

    /// Creates a service that calls `handle` with batches of at most `size` items. An item waits for others for at most
    /// `delay`.
    ///
    /// A batch that fails is reported, and the service continues with the next batch. After a stop request, the service
    /// handles the accepted items until its stop deadline.
    pub(crate) fn batches<F>(&self, size: usize, delay: Duration, handle: F) -> Batches<T, F>
    where
        F: FnMut(&[T], &Context) -> Result + Send + 'static,
    {
        Batches { inbox: self.clone(), size, delay, handle, retirement: None }
    }
}

impl<T> Clone for Inbox<T> {
    fn clone(&self) -> Self {
        Inbox(self.0.clone())
    }
}

/// The batching consumer. Created by [`Inbox::batches`].
pub(crate) struct Batches<T, F> {
    inbox: Inbox<T>,
    size: usize,
    delay: Duration,
    handle: F,
    /// `None` without a host.
    retirement: Option<Retirement>,
}

/// What the service needs to close its inbox when the service will not be started again.
struct Retirement {
    token: StopToken,
    /// Closes the inbox, even while a batch is in progress.
    _closes_inbox: StopCallback,
}

/// The error of a batch.
#[derive(Debug, thiserror::Error)]
#[error("cannot handle a batch of size {size}")]
struct BatchError {
    size: usize,
    source: BoxError,
}

impl<T, F> Batches<T, F>
where
    T: Send + 'static,
    F: FnMut(&[T], &Context) -> Result + Send + 'static,
{
    /// Blocks until a batch is full, or until its first item has waited for the delay.
    ///
    /// A stop request ends the wait: the function returns the batch that it has begun, or else an error.
    fn next_batch(&self, ctx: &Context) -> Result<Vec<T>, RecvError> {
        let items = &self.inbox.0.items;
        let mut batch = vec![ctx.recv(items)?];
        let limit = StopSource::linked([ctx.stop_token()]);
        limit.request_stop_after(self.delay);
        while batch.len() < self.size {
            let Ok(item) = limit.token().recv(items) else { break };
            batch.push(item);
        }
        batch.extend(self.waiting_items(self.size - batch.len()));
        Ok(batch)
    }

    /// Takes at most `limit` items without blocking.
    fn waiting_items(&self, limit: usize) -> impl Iterator<Item = T> {
        self.inbox.0.items.try_iter().take(limit)
    }

    fn handle(&mut self, batch: &[T], ctx: &Context) {
        if let Err(source) = (self.handle)(batch, ctx) {
            ctx.report_error(BatchError { size: batch.len(), source });
        }
    }

    /// Handles the remaining items after a stop request, until the stop deadline.
    fn finish(&mut self, ctx: &Context) {
        if self.is_retired() {
            self.inbox.close(); // the callback may not have run yet
        }
        while !ctx.stop_requested() {
            let batch: Vec<T> = self.waiting_items(self.size).collect();
            if batch.is_empty() {
                return;
            }
            self.handle(&batch, ctx);
        }
        let items = self.inbox.0.items.len();
        if items > 0 && self.is_retired() {
            ctx.report_queue_not_drained(items);
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
        let inbox = self.inbox.clone();
        let closes_inbox = retired.on_stop(move || inbox.close());
        self.retirement = Some(Retirement { token: retired.clone(), _closes_inbox: closes_inbox });
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let until_deadline = ctx.until_deadline();
        loop {
            match self.next_batch(ctx) {
                Ok(batch) => self.handle(&batch, &until_deadline),
                Err(RecvError::Stopped) => break,
                Err(_) => {
                    ctx.mark_complete(); // the inbox is closed and empty
                    return Ok(());
                }
            }
        }
        self.finish(&until_deadline);
        Ok(())
    }

    fn validate(&self) -> Result {
        if self.size == 0 { Err("batch size must not be zero".into()) } else { Ok(()) }
    }
}
