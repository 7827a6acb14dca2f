//! Takes items out of a queue: `recv` and `recv_timeout`, and what the consumers use.

use super::Queue;
use super::sleepers::Sleeper;
use super::state::{QueueState, release};
use crate::diagnose::{Waits, show_life};
use crate::service::Context;
use crate::stop::RecvError;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

impl<T> Queue<T> {
    /// Takes the next item out, for a service of your own. Blocks until an item is there, or the stop of the service is
    /// requested.
    ///
    /// A service that calls `recv` is no [`consumer`](Self::consumer): the queue does not close when the service stops.
    /// [Close](Self::close) the queue yourself, and take the rest with a context that stops
    /// [before the stop deadline](Context::for_job). If the service can be restarted, close the queue in a callback of the
    /// token that [`Service::attach`](crate::Service::attach) receives instead.
    ///
    /// ```
    /// use hosted::{Host, Queue, RecvError, worker};
    ///
    /// let numbers = Queue::bounded(10);
    /// let (queue, mut sum) = (numbers.clone(), 0);
    /// let mut host = Host::new();
    /// host.add("adder", worker(move |ctx| {
    ///     while let Ok(n) = queue.recv(ctx) {
    ///         sum += n;
    ///     }
    ///     queue.close(); // a stop was requested: accept no more, and take what is left
    ///     let until_deadline = ctx.for_job();
    ///     while let Ok(n) = queue.recv(&until_deadline) {
    ///         sum += n;
    ///     }
    ///     println!("the sum is {sum}");
    ///     Ok(())
    /// }));
    /// host.start().unwrap();
    /// (1..=3).for_each(|n: u32| numbers.push(n).unwrap());
    /// host.stop(std::time::Duration::from_secs(10)).unwrap(); // prints: the sum is 6
    /// assert!(numbers.is_empty());
    /// ```
    ///
    /// # Errors
    ///
    /// - Returns [`RecvError::Stopped`] once the stop is requested, even if the queue has items. They stay in the queue.
    /// - Returns [`RecvError::Disconnected`] if the queue is closed and empty.
    #[doc(alias("Take", "TryTake", "ReadAsync", "GetConsumingEnumerable"))]
    pub fn recv(&self, ctx: &Context) -> Result<T, RecvError> {
        let stop = ctx.stop_token();
        self.take(Sleeper::new(stop, None), Waits::Job, |state, _| match state.try_take(stop) {
            Some(result) => Break(result),
            None => Continue(1),
        })
    }

    /// Takes the next item out as [`recv`](Self::recv) does, but blocks for at most `limit`, by the clock of `ctx`. Returns
    /// `None` if no item came.
    ///
    /// `Duration::ZERO` takes an item only if it is there. `Duration::MAX` is no limit. Use this function for batches that
    /// [`batch_consumer`](Self::batch_consumer) cannot form, such as batches of a number of bytes.
    ///
    /// ```
    /// use hosted::{Context, Queue, RecvError};
    /// use std::time::Duration;
    ///
    /// /// Collects lines until they have 1,400 bytes, or no line came for 50 ms.
    /// fn next_packet(lines: &Queue<String>, ctx: &Context) -> Result<String, RecvError> {
    ///     let mut packet = lines.recv(ctx)?;
    ///     while packet.len() < 1_400 {
    ///         let Some(line) = lines.recv_timeout(ctx, Duration::from_millis(50))? else { break };
    ///         packet += &line;
    ///     }
    ///     Ok(packet)
    /// }
    ///
    /// let lines = Queue::bounded(10);
    /// lines.push("a 1\n".to_owned()).unwrap();
    /// lines.push("b 2\n".to_owned()).unwrap();
    /// let ctx = Context::new("statsd", hosted::StopToken::never());
    /// assert_eq!(next_packet(&lines, &ctx).unwrap(), "a 1\nb 2\n");
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the errors of [`recv`](Self::recv).
    #[doc(alias("poll", "TryTake"))]
    pub fn recv_timeout(&self, ctx: &Context, limit: Duration) -> Result<Option<T>, RecvError> {
        let stop = ctx.stop_token();
        let sleeper = Sleeper::with_limit(stop, ctx.clock(), limit);
        self.take(sleeper, Waits::Job, |state, timed_out| match state.try_take(stop) {
            Some(result) => Break(result.map(Some)),
            None if timed_out => Break(Ok(None)),
            None => Continue(1),
        })
    }

    /// Fills `batch` up to `max` items, and blocks for at most `linger` for the missing ones. A closed queue ends the wait.
    ///
    /// # Errors
    ///
    /// Returns [`RecvError::Stopped`] once the stop is requested. The batch keeps the items that it has.
    pub(crate) fn fill(
        &self,
        batch: &mut Vec<T>,
        max: usize,
        linger: Duration,
        ctx: &Context,
    ) -> Result<(), RecvError> {
        let stop = ctx.stop_token();
        let sleeper = Sleeper::with_limit(stop, ctx.clock(), linger);
        self.take(sleeper, Waits::MoreJobs, |state, timed_out| {
            if stop.stop_requested() {
                return Break(Err(RecvError::Stopped));
            }
            state.fill(batch, max);
            let missing = max.saturating_sub(batch.len());
            if missing == 0 || timed_out || state.is_closed() { Break(Ok(())) } else { Continue(missing) }
        })
    }

    /// Fills `batch` up to `max` items without blocking, even after a stop.
    pub(crate) fn try_fill(&self, batch: &mut Vec<T>, max: usize) {
        let mut state = self.shared.state.lock();
        state.fill(batch, max);
        release(state);
    }

    /// Takes the next item out without blocking, even after a stop. Returns `None` if the queue is empty.
    pub(crate) fn try_take(&self) -> Option<T> {
        let mut state = self.shared.state.lock();
        let item = state.pop();
        release(state);
        item
    }

    /// Repeats `step` under the lock until it breaks. Sleeps between two steps, until as many items are there as the step
    /// wants. The step also receives `true` once the time limit of the sleeper has passed. It must break then.
    fn take<R>(
        &self,
        mut sleeper: Sleeper<'_>,
        waits: Waits,
        mut step: impl FnMut(&mut QueueState<T>, bool) -> ControlFlow<R, usize>,
    ) -> R {
        show_life(); // a service that never has to wait is not stalled
        loop {
            let timed_out = sleeper.has_timed_out(); // without the lock, because a manual clock has its own
            let mut state = self.shared.state.lock();
            let wants = match step(&mut state, timed_out) {
                Break(result) => {
                    sleeper.unregister(&mut state.takers);
                    release(state);
                    return result;
                }
                Continue(wants) => wants,
            };
            sleeper.register(&mut state.takers, wants);
            release(state);
            sleeper.sleep(waits);
        }
    }
}
