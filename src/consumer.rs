//! The service that works a queue's jobs off.

use crate::context::Context;
use crate::error::{RecvError, Result};
use crate::event::EventKind;
use crate::panic::guarded;
use crate::queue::Queue;
use crate::service::Service;
use crate::stop::{StopCallback, StopSource};
use crate::sync::left;

impl<T: Send + 'static> Queue<T> {
    /// A service that takes items out and calls `f` with each, one at a time. Several may share a queue.
    ///
    /// A job that fails or panics is logged, counted and told as an event, and the next one comes. On a stop, what
    /// was accepted is still handled: the [`Context`] that a job is given is not stopped by the asking, but when the
    /// consumer's time is up ([`stop_deadline`](Context::stop_deadline)). From then on no further item is taken; what
    /// is left is for [`drain`](Self::drain).
    pub fn consumer<F>(&self, f: F) -> Consumer<T, F>
    where
        F: FnMut(T, &Context) -> Result + Send + 'static,
    {
        Consumer { queue: self.clone(), f, joined: false }
    }
}

/// The service that [`Queue::consumer`] makes.
#[must_use = "a service does nothing until a host runs it"]
pub struct Consumer<T, F> {
    queue: Queue<T>,
    f: F,
    /// Counted among the queue's consumers.
    joined: bool,
}

impl<T, F> Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    /// Handles what comes until the service is asked to stop (true), or the queue is closed and empty (false).
    fn until_asked(&mut self, ctx: &Context, job: &Context) -> bool {
        loop {
            match ctx.recv(self.queue.receiver()) {
                Ok(item) => self.handle(item, ctx, job),
                Err(error) => return error == RecvError::Stopped,
            }
        }
    }

    /// Handles what is left, until the time is up.
    fn finish(&mut self, ctx: &Context, job: &Context) {
        if self.leave() > 0 {
            // Others go on, and close the queue: this one helps only with what is there.
            while let (false, Ok(item)) = (job.stop_requested(), self.queue.receiver().try_recv()) {
                self.handle(item, ctx, job);
            }
            return;
        }
        self.queue.close();
        // Until disconnected, not until empty: a push that had got in before the closing is still under way.
        while let Ok(item) = job.recv(self.queue.receiver()) {
            self.handle(item, ctx, job);
        }
        let items = self.queue.len();
        if items > 0 {
            ctx.say(EventKind::LeftInQueue { items });
        }
    }

    fn handle(&mut self, item: T, ctx: &Context, job: &Context) {
        log::trace!(target: "hosted::queue", "service `{}` takes a job", ctx.name());
        match guarded(|| (self.f)(item, job)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ctx.report(error),
            Err(text) => ctx.report(format!("a job panicked: {text}")),
        }
    }

    /// No longer counted; how many others are.
    fn leave(&mut self) -> usize {
        if std::mem::take(&mut self.joined) { self.queue.leave() } else { 0 }
    }
}

/// Stops `time_up` at the service's deadline, as soon as there is one.
fn limit(ctx: &Context, time_up: StopSource) -> StopCallback {
    let asked = ctx.clone();
    ctx.on_stop(move || {
        if let deadline @ Some(_) = asked.stop_deadline() {
            time_up.request_stop_after(left(deadline));
        }
    })
}

impl<T, F> Service for Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    fn start(&mut self, _: &Context) -> Result {
        self.queue.join();
        self.joined = true;
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let time_up = StopSource::new();
        let job = ctx.with_token(time_up.token());
        let _limit = limit(ctx, time_up.clone());
        if self.until_asked(ctx, &job) {
            self.finish(ctx, &job);
        }
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        // A run that was not asked to stop leaves the queue open: others, or its next run, go on.
        self.leave();
        Ok(())
    }

    fn flaw(&self) -> Option<String> {
        (self.queue.receiver().capacity() == Some(0)).then(|| "its queue has no room: Queue::bounded(0)".to_owned())
    }
}
