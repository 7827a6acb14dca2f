//! `BatchConsumer`: the service that handles the jobs of a queue in batches.
//!
//! ```text
//!             ┌──────────────────── the batch is handled ─────────────────────┐
//!             ▼                                                               │
//! ─▶ waiting for a job ──first job──▶ waiting for more ──full, or `linger`──▶ calling `f` ◀─ add further jobs ─┐
//!             │                             │                                 │ failed, and jobs are left      │
//!   closed and empty ──▶ complete           │                            backing off ──────────────────────────┘
//!             │                             │                                 │
//!             └──────────────┬──────────────┴─────────────────────────────────┘
//!                     stop request: the wait ends
//!                            ▼
//!   until the queue is empty, or the context of the jobs is stopped: call `f`, back off after a failure
//!                            ▼
//!                 leave, and put back what is left
//! ```
//!
//! # Invariants
//!
//! 1. `batch` has the jobs that this consumer has taken and not handled, oldest first. Only `f` removes a job from it, and
//!    the consumer after `f` has returned `Ok`.
//! 2. However the consumer leaves its queue, the step that unregisters it puts the jobs in `batch` back to the front of the
//!    queue (invariant 8 of the queue). So no job is lost.
//! 3. If `batch` is not empty, no wait for a first job begins. So a failed batch waits for its backoff and for nothing else.

use super::queue::Queue;
use super::registration::Registration;
use crate::diagnose::Waits;
use crate::report::{BoxError, Result};
use crate::service::{Context, Service};
use crate::stop::{RecvError, StopToken, Stopped};
use crate::util::log::log_line;
use crate::util::panic::{catch_panic, drop_catching_panic};
use crate::util::text::HumanDuration;
use log::Level;
use std::mem;
use std::time::Duration;

/// The first and the longest time between two attempts to handle a batch. A server that is away for a moment costs a second,
/// and a server that is away for an hour receives two calls a minute.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

impl<T: Send + 'static> Queue<T> {
    /// Creates a service that takes items out of the queue and calls `f` with batches, for example to write many rows in one
    /// transaction.
    ///
    /// The service calls `f` as soon as it has `max` items, and at the latest `linger` after it has taken the first. With a
    /// `linger` of zero, a batch is what is in the queue. `Duration::MAX` waits until the batch is full. The clock of the
    /// [`Context`] measures the time. If the queue is closed, or the stop is requested, no batch waits for more items.
    ///
    /// The result of `f` decides what happens to the batch:
    ///
    /// - `Ok`: all items are handled. The service drops the items that are left in the vector.
    /// - An error or a panic: the items that `f` has *removed* from the vector are handled, and the items that are left are not.
    ///   The service reports the error, waits, and offers these items again, before newer ones. The first wait is 1 s. Each
    ///   further wait is twice as long, up to 30 s, until no items are left.
    ///
    /// So a function that handles all items or none leaves the vector alone. A function that handles the items one by one
    /// removes each when it is done. It also removes an item that will never succeed, such as a row that violates a
    /// constraint: a batch is offered until it is handled.
    ///
    /// After a stop request, the service still handles the accepted items, until its stop deadline:
    ///
    /// - The request ends a wait. The service offers the failed batch at once, and again after 1 s, 2 s, and so on.
    /// - `f` receives a context like that of the jobs of a [`consumer`](Self::consumer), which stops shortly before the deadline.
    /// - Items that are not handled by then go back to the front of the queue. The next run of a restarted group, another
    ///   consumer, or [`drain`](Self::drain) gets them. A context without a host has no deadline.
    ///
    /// Several batch consumers and [consumers](Self::consumer) may share one queue. Everything else is as for a `consumer`: when
    /// the queue closes, and that the service completes when the queue is closed and empty and its last batch is handled.
    ///
    /// [`Host::start`](crate::Host::start) returns an error if `max` is zero.
    ///
    /// ```
    /// use hosted::{Host, Queue};
    /// use std::time::Duration;
    ///
    /// let measurements = Queue::bounded(1_000);
    /// let mut host = Host::new();
    /// host.add("store", measurements.batch_consumer(100, Duration::from_millis(500), |batch: &mut Vec<f64>, _| {
    ///     println!("insert {} rows: {batch:?}", batch.len()); // all in one transaction, so all or none
    ///     Ok(())
    /// }));
    /// (1..=3).for_each(|n| measurements.push(f64::from(n)).unwrap());
    /// measurements.close();
    /// host.run().unwrap(); // prints: insert 3 rows: [1.0, 2.0, 3.0]
    /// ```
    #[doc(alias("BatchBlock", "Buffer", "bulk", "chunks"))]
    pub fn batch_consumer<F>(&self, max: usize, linger: Duration, f: F) -> BatchConsumer<T, F>
    where
        F: FnMut(&mut Vec<T>, &Context) -> Result + Send + 'static,
    {
        BatchConsumer { registration: Registration::new(self), max, linger, batch: Vec::new(), backoff: BACKOFF.0, f }
    }
}

/// The service that handles the jobs of a queue in batches. Created by [`Queue::batch_consumer`].
#[must_use = "a service does nothing until a host runs it"]
pub struct BatchConsumer<T, F> {
    registration: Registration<T>,
    max: usize,
    linger: Duration,
    /// The jobs that were taken and not handled (invariant 1).
    batch: Vec<T>,
    /// How long to wait after the next failure.
    backoff: Duration,
    f: F,
}

impl<T, F> BatchConsumer<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Vec<T>, &Context) -> Result + Send + 'static,
{
    /// Handles batches until the stop of the service is requested, or the queue is closed and empty.
    fn run_until_stop(&mut self, ctx: &Context, job: &Context) -> RecvError {
        loop {
            if let Err(error) = self.collect(ctx) {
                return error;
            }
            self.call(ctx, job);
            if self.back_off(ctx).is_err() {
                return RecvError::Stopped;
            }
        }
    }

    /// Collects a new batch, or adds the waiting items to a batch that has failed.
    fn collect(&mut self, ctx: &Context) -> Result<(), RecvError> {
        let queue = self.registration.queue();
        if !self.batch.is_empty() {
            queue.try_fill(&mut self.batch, self.max);
            return Ok(());
        }
        self.batch.push(queue.recv(ctx)?);
        queue.fill(&mut self.batch, self.max, self.linger, ctx)
    }

    /// Handles the remaining items after a stop request, until the context of the jobs is stopped.
    fn drain(&mut self, ctx: &Context, job: &Context) {
        self.registration.mark_stop_requested();
        self.backoff = BACKOFF.0; // after the request, a batch has its first attempts again
        while !job.stop_requested() {
            self.registration.queue().try_fill(&mut self.batch, self.max);
            if self.batch.is_empty() {
                break; // as for a consumer: no further items come, or they are for somebody else
            }
            self.call(ctx, job);
            _ = self.back_off(job); // an error: the loop ends
        }
    }

    /// Calls the function. Afterwards the batch has the items that are not handled.
    fn call(&mut self, ctx: &Context, job: &Context) {
        let (f, batch) = (&mut self.f, &mut self.batch);
        let started = format_args!("service `{}`: batch of {} jobs started", ctx.name(), batch.len());
        log_line(Level::Trace, "hosted::queue", started);
        let called = self.registration.time(|| {
            let offered = batch.len();
            let result = catch_panic(|| f(batch, job));
            let left = if matches!(result, Ok(Ok(()))) { 0 } else { batch.len() };
            (offered.saturating_sub(left), result)
        });
        let error: BoxError = match called {
            Ok(Ok(())) => return self.drop_handled(ctx),
            Ok(Err(error)) => error,
            Err(text) => format!("a batch panicked: {text}").into(),
        };
        ctx.report_error(error);
    }

    /// Drops the jobs of a batch that was handled. A job whose `Drop` panics is handled all the same.
    fn drop_handled(&mut self, ctx: &Context) {
        for item in self.batch.drain(..) {
            if let Err(text) = drop_catching_panic(item) {
                ctx.report_error(format!("a job panicked in its `Drop`: {text}"));
            }
        }
    }

    /// Waits before a failed batch is offered again. Returns at once if nothing is left of the batch.
    fn back_off(&mut self, ctx: &Context) -> Result<(), Stopped> {
        if self.batch.is_empty() {
            self.backoff = BACKOFF.0;
            return Ok(());
        }
        let (name, jobs, after) = (ctx.name(), self.batch.len(), HumanDuration(self.backoff));
        let text = format_args!("service `{name}`: {jobs} jobs of a failed batch are left; retrying in {after}");
        log_line(Level::Debug, "hosted::queue", text);
        let backoff = self.backoff;
        self.backoff = (backoff * 2).min(BACKOFF.1);
        ctx.sleep_as(backoff, Waits::Retry)
    }

    fn leave(&mut self, ctx: &Context) {
        self.registration.leave(ctx, mem::take(&mut self.batch));
    }
}

impl<T, F> Service for BatchConsumer<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Vec<T>, &Context) -> Result + Send + 'static,
{
    fn attach(&mut self, retired: &StopToken) {
        self.registration.attach(retired);
    }

    fn start(&mut self, ctx: &Context) -> Result {
        self.registration.enter(ctx); // as for a consumer: producers stop first, even if a stop comes before `run`
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.registration.enter(ctx); // a test may call `run` without `start`
        let job = ctx.for_job();
        let _close_on_stop = self.registration.close_on_stop(ctx);
        match self.run_until_stop(ctx, &job) {
            RecvError::Stopped => self.drain(ctx, &job),
            RecvError::Disconnected => ctx.mark_complete(),
        }
        self.leave(ctx);
        Ok(())
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.leave(ctx); // has no effect unless `run` panicked or was not called
        Ok(())
    }

    fn validate(&self) -> Result {
        if self.max == 0 {
            return Err("batch size `max` must not be zero".into());
        }
        self.registration.validate()
    }
}

impl<T, F> Drop for BatchConsumer<T, F> {
    fn drop(&mut self) {
        self.registration.leave_dropped(mem::take(&mut self.batch));
    }
}
