//! `Consumer`: the service that handles the jobs of a queue.

use super::queue::Queue;
use super::registration::Registration;
use crate::report::Result;
use crate::service::{Context, Service};
use crate::stop::{RecvError, StopToken};
use crate::util::log::log_line;
use crate::util::panic::catch_panic;
use log::Level;

impl<T: Send + 'static> Queue<T> {
    /// Creates a service that takes items out of the queue and calls `f` with each, one at a time.
    ///
    /// Several consumers may share one queue. A job that fails or panics is logged, counted and emitted as an event, and the
    /// consumer continues with the next job.
    ///
    /// After a stop request, the consumer still handles the accepted items:
    ///
    /// - A job receives its own [`Context`]. The stop request does not stop this context. It is stopped shortly before
    ///   [`stop_deadline`](Context::stop_deadline), so that the job can finish within the deadline: by a tenth of the
    ///   remaining time, but at least 100 ms and at most half of it.
    /// - When that context is stopped, the consumer takes no further items. Use [`drain`](Self::drain) to get them.
    ///
    /// When the queue is closed and empty, the consumer [completes](Context::mark_complete), and no
    /// [`Restart`](crate::Restart) policy starts it again. Dropping all other clones of the queue does not close it: the
    /// consumer waits for the stop. A consumer that is never added to a host does not close the queue.
    ///
    /// ```
    /// use hosted::{Host, Queue};
    ///
    /// let numbers = Queue::bounded(10);
    /// let mut host = Host::new();
    /// host.add("printer", numbers.consumer(|n: u32, _| { println!("{n}"); Ok(()) }));
    /// numbers.push(7).unwrap();
    /// numbers.close();
    /// host.run().unwrap(); // returns after the number was printed
    /// assert!(numbers.is_empty());
    /// ```
    pub fn consumer<F>(&self, f: F) -> Consumer<T, F>
    where
        F: FnMut(T, &Context) -> Result + Send + 'static,
    {
        Consumer { registration: Registration::new(self), f }
    }
}

/// The service that handles the jobs of a queue. Created by [`Queue::consumer`].
#[must_use = "a service does nothing until a host runs it"]
pub struct Consumer<T, F> {
    registration: Registration<T>,
    f: F,
}

impl<T, F> Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    /// Handles items until the stop of the service is requested, or the queue is closed and empty. Returns `true` for a stop
    /// request.
    fn run_until_stop(&mut self, ctx: &Context, job: &Context) -> bool {
        loop {
            match self.registration.queue().recv(ctx) {
                Ok(item) => self.handle(item, ctx, job),
                Err(error) => return error == RecvError::Stopped,
            }
        }
    }

    /// Handles the remaining items after a stop request, until the context of the jobs is stopped.
    ///
    /// It is enough to stop at an empty queue. If this consumer has just closed the queue, no further items come. If the queue
    /// is still open, another consumer, or the next run of this one, takes the items that come later.
    fn drain(&mut self, ctx: &Context, job: &Context) {
        self.registration.mark_stop_requested();
        while !job.stop_requested() {
            let Some(item) = self.registration.queue().try_take() else { break };
            self.handle(item, ctx, job);
        }
    }

    fn handle(&mut self, item: T, ctx: &Context, job: &Context) {
        log_line(Level::Trace, "hosted::queue", format_args!("service `{}`: job started", ctx.name()));
        match self.registration.time(|| (1, catch_panic(|| (self.f)(item, job)))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ctx.report_error(error),
            Err(text) => ctx.report_error(format!("a job panicked: {text}")),
        }
    }
}

impl<T, F> Service for Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    fn attach(&mut self, retired: &StopToken) {
        self.registration.attach(retired);
    }

    fn start(&mut self, ctx: &Context) -> Result {
        // The consumer counts as running from here on, and not only from `run` on. If a stop comes before `run`, producers
        // still stop before this consumer.
        self.registration.enter(ctx);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.registration.enter(ctx); // a test may call `run` without `start`
        let job = ctx.for_job();
        let _close_on_stop = self.registration.close_on_stop(ctx);
        if self.run_until_stop(ctx, &job) {
            self.drain(ctx, &job);
        } else {
            ctx.mark_complete();
        }
        self.registration.leave(ctx, Vec::new());
        Ok(())
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.registration.leave(ctx, Vec::new()); // has no effect unless `run` panicked or was not called
        Ok(())
    }

    fn validate(&self) -> Result {
        self.registration.validate()
    }
}
