//! `Queue`: a bounded queue of jobs between services. `state` has its protocol and the invariants.

mod error;
mod meter;
mod sleepers;
mod state;
mod receive;

pub use error::PushError;
pub(crate) use meter::JobMeter;
pub(crate) use state::ConsumerId;

use crate::diagnose::{Waits, show_life};
use crate::stop::StopToken;
use crate::util::log::log_line;
use crate::util::sync::{Arc, Mutex};
use crate::util::time::deadline;
use log::Level;
use sleepers::Sleeper;
use state::{FollowUp, QueueState, release};
use std::fmt;
use std::time::{Duration, Instant};

/// A bounded queue of jobs between services: services push jobs, and a [`consumer`](Self::consumer) handles them one by one,
/// or a [`batch_consumer`](Self::batch_consumer) in batches.
///
/// Clones share one queue. Each accepted item is handled by one consumer, or is left for [`drain`](Self::drain).
///
/// The queue closes on its own once none of its consumers will run again:
///
/// - The outermost host stops, and the stop of the last running consumer was requested.
/// - The last consumer has completed, or has failed without a restart, or its host has stopped without starting it.
///
/// A restart of a consumer, or of the [`group`](crate::group) around it, does not close the queue. The next run handles the
/// items that were pushed meanwhile. After a stop request, the consumers handle the accepted items until their stop deadline.
/// Add a producer *after* its consumer, so that the producer stops first. .NET: a `BoundedChannel` with a queued
/// `BackgroundService`.
///
/// ```
/// use hosted::{Host, Queue, worker};
///
/// let outbox = Queue::bounded(100);
/// let mut host = Host::new();
/// host.add("mailer", outbox.consumer(|to: String, _| {
///     println!("mail to {to}");
///     Ok(())
/// }));
/// host.add("sign-ups", worker(move |ctx| {
///     outbox.push_until("ada@example.org".to_owned(), ctx.stop_token())?;
///     ctx.host().request_stop();
///     Ok(())
/// }));
/// host.run().unwrap(); // returns after the mail was handled
/// ```
#[doc(alias("Channel", "BlockingCollection", "IBackgroundTaskQueue"))]
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<QueueState<T>>,
}

#[cfg(feature = "metrics")]
impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        self.state.get_mut().meter.take_change(0).record();
    }
}

impl<T> Queue<T> {
    /// Creates a queue with room for `n` items, and allocates the memory for them.
    ///
    /// If `n` is zero, [`Host::start`](crate::Host::start) of a host with a consumer of this queue returns an error.
    ///
    /// # Panics
    ///
    /// Panics if the memory for `n` items exceeds `isize::MAX` bytes. If the memory cannot be allocated, the process aborts.
    pub fn bounded(n: usize) -> Self {
        Queue { shared: Arc::new(Shared { state: Mutex::new(QueueState::new(n)) }) }
    }

    /// Names the queue: in log lines, and as the label `queue` of the metrics of feature `metrics`.
    ///
    /// All clones have the same name. A queue without a name has no metrics of its length.
    ///
    /// ```
    /// use hosted::Queue;
    ///
    /// let outbox = Queue::<String>::bounded(100).named("outbox");
    /// assert!(format!("{outbox:?}").contains("outbox"));
    /// ```
    pub fn named(self, name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let mut state = self.shared.state.lock();
        let change = state.meter.set_name(name);
        release(state);
        change.record();
        self
    }

    /// Pushes `item`, and blocks while the queue is full.
    ///
    /// In a service, prefer [`push_until`](Self::push_until): this function returns only when there is room or the queue is
    /// closed. `push(item)?` needs `T: Send + Sync`, because the error contains the item.
    ///
    /// A job that pushes into its own full queue waits for itself, until a stop closes the queue. Use
    /// [`try_push`](Self::try_push) there.
    ///
    /// ```
    /// use hosted::{PushError, Queue};
    ///
    /// let orders = Queue::bounded(10);
    /// orders.push("tea").unwrap();
    /// orders.close();
    /// assert_eq!(orders.push("cake"), Err(PushError::Closed("cake")));
    /// assert_eq!(orders.drain(), ["tea"]);
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`PushError::Closed`] with the item if the queue is closed.
    pub fn push(&self, item: T) -> Result<(), PushError<T>> {
        self.push_by(item, &StopToken::never(), None)
    }

    /// Pushes `item`, and blocks while the queue is full, until `stop` is stopped.
    ///
    /// # Errors
    ///
    /// Each error contains the item.
    ///
    /// - Returns [`PushError::Stopped`] if `stop` is stopped, even if the queue is closed too.
    /// - Returns [`PushError::Closed`] if the queue is closed.
    pub fn push_until(&self, item: T, stop: &StopToken) -> Result<(), PushError<T>> {
        self.push_by(item, stop, None)
    }

    /// Pushes `item`, and blocks while the queue is full, for at most `limit`. `Duration::MAX` is no limit.
    ///
    /// # Errors
    ///
    /// Each error contains the item.
    ///
    /// - Returns [`PushError::Full`] if the queue is full and `limit` has passed.
    /// - Returns [`PushError::Closed`] if the queue is closed.
    pub fn push_timeout(&self, item: T, limit: Duration) -> Result<(), PushError<T>> {
        self.push_by(item, &StopToken::never(), deadline(limit))
    }

    /// Pushes `item` without blocking.
    ///
    /// # Errors
    ///
    /// Each error contains the item.
    ///
    /// - Returns [`PushError::Full`] if the queue is full.
    /// - Returns [`PushError::Closed`] if the queue is closed.
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        let mut state = self.shared.state.lock();
        let pushed = state.try_push(item, &StopToken::never());
        release(state);
        pushed
    }

    /// Closes the queue. This cannot be undone.
    ///
    /// Further pushes fail. The consumers still handle the items that are in the queue, and then complete.
    #[doc(alias = "CompleteAdding")]
    pub fn close(&self) {
        self.finish(QueueState::close);
    }

    /// Returns the number of items in the queue. Items that a consumer has taken do not count.
    pub fn len(&self) -> usize {
        self.shared.state.lock().len()
    }

    /// Returns `true` if the queue has no items.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if the queue is closed, by [`close`](Self::close) or because none of its consumers will run again.
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().is_closed()
    }

    /// Removes and returns all items of the queue.
    ///
    /// Use it after a stop, for the items that the consumers had no time to handle. If the queue is closed, no further items
    /// can come.
    pub fn drain(&self) -> Vec<T> {
        let mut state = self.shared.state.lock();
        let items = state.drain();
        release(state);
        items
    }

    fn push_by(&self, mut item: T, stop: &StopToken, until: Option<Instant>) -> Result<(), PushError<T>> {
        show_life(); // a producer that never has to wait is not stalled
        let mut sleeper = Sleeper::new(stop, until);
        loop {
            let mut state = self.shared.state.lock();
            match state.try_push(item, stop) {
                Err(PushError::Full(returned)) if !sleeper.has_timed_out() => item = returned,
                result => {
                    sleeper.unregister(&mut state.pushers);
                    release(state);
                    return result;
                }
            }
            sleeper.register(&mut state.pushers, 1);
            release(state);
            sleeper.sleep(Waits::Room);
        }
    }

    /// Returns how many items the queue can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.shared.state.lock().capacity()
    }

    pub(crate) fn new_consumer_id(&self) -> ConsumerId {
        self.shared.state.lock().new_consumer_id()
    }

    /// Marks the consumer `id` as running.
    pub(crate) fn mark_running(&self, id: ConsumerId) {
        self.shared.state.lock().mark_running(id);
    }

    /// Returns the name of the queue, if it has one.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.shared.state.lock().meter.name().cloned()
    }

    /// Returns what records the jobs of the consumer that is the service `service`.
    pub(crate) fn job_meter(&self, service: &str) -> JobMeter {
        let (meter, capacity) = {
            let state = self.shared.state.lock();
            (state.meter.clone(), state.capacity())
        };
        meter.for_jobs(service, capacity)
    }

    /// Records that the stop of the consumer `id` was requested. The queue closes if no other consumer keeps it open.
    pub(crate) fn mark_stop_requested(&self, id: ConsumerId) {
        self.finish_and_warn(|state| {
            if state.mark_stop_requested(id) { state.close_if_abandoned() } else { FollowUp::default() }
        });
    }

    /// Unregisters the consumer `id`, which takes no further items in this run. The items that it holds go back into the
    /// queue. Returns the number of items that no consumer will take.
    pub(crate) fn unregister(&self, id: ConsumerId, held: Vec<T>) -> usize {
        self.finish(|state| state.unregister(id, held))
    }

    /// Unregisters the consumer `id` in the same way, and logs a warning if items are left that no consumer will take.
    pub(crate) fn unregister_and_warn(&self, id: ConsumerId, held: Vec<T>) {
        self.finish_and_warn(|state| state.unregister(id, held));
    }

    /// Makes a step under the lock, and does the rest of the work after its release.
    fn finish(&self, step: impl FnOnce(&mut QueueState<T>) -> FollowUp) -> usize {
        let mut state = self.shared.state.lock();
        let follow_up = step(&mut state);
        release(state); // a consumer may have put items back, which wakes another consumer
        follow_up.finish()
    }

    fn finish_and_warn(&self, step: impl FnOnce(&mut QueueState<T>) -> FollowUp) {
        let items = self.finish(step);
        if items > 0 {
            let name = self.name().map_or_else(|| "a queue".to_owned(), |name| format!("queue `{name}`"));
            let text = format_args!("{name} was closed with {items} items in it, and no consumer will take them");
            log_line(Level::Warn, "hosted::queue", text);
        }
    }
}

impl<T: Send + 'static> Queue<T> {
    /// Registers the consumer `id`, which will not be started again once `retired` is stopped. `hosted` is `true` for a
    /// service of a host.
    pub(crate) fn register(&self, id: ConsumerId, retired: &StopToken, hosted: bool) {
        if !self.shared.state.lock().register(id, retired, hosted) {
            return;
        }
        // The callback holds the queue weakly. A host that runs on must not keep the items of a queue that has been dropped.
        let shared = Arc::downgrade(&self.shared);
        let close_if_abandoned = move || {
            if let Some(shared) = shared.upgrade() {
                Queue { shared }.finish_and_warn(QueueState::close_if_abandoned);
            }
        };
        // Registered without the lock: if the token is stopped already, the callback runs here.
        let callback = retired.on_stop(close_if_abandoned);
        let unused = self.shared.state.lock().store_callback(retired, callback);
        unused.into_iter().for_each(|callback| _ = callback.unregister());
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, len, closed) = {
            let state = self.shared.state.lock();
            (state.meter.name().cloned(), state.len(), state.is_closed())
        };
        let mut text = f.debug_struct("Queue");
        if let Some(name) = name {
            text.field("name", &name);
        }
        text.field("len", &len).field("closed", &closed).finish_non_exhaustive()
    }
}
