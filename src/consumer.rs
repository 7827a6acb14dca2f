//! The service that works a queue's jobs off.

use crate::blocked::Waits;
use crate::context::Context;
use crate::error::{RecvError, Result};
use crate::event::EventKind;
use crate::line;
use crate::panic::guarded;
use crate::queue::Queue;
use crate::service::Service;
use crate::stop::StopCallback;
use crate::sync::{Arc, Mutex};
use log::Level;

impl<T: Send + 'static> Queue<T> {
    /// A service that takes items out and calls `f` with each, one at a time. Several may share a queue.
    ///
    /// A job that fails or panics is logged, counted and told as an event, and the next one comes. On a stop, what
    /// was accepted is still handled: the [`Context`] that a job is given is not stopped by the asking, but when the
    /// consumer's time is up ([`stop_deadline`](Context::stop_deadline)). From then on no further item is taken; what
    /// is left is for [`drain`](Self::drain). Dropping all other clones of the queue does not close it: the consumer waits
    /// for the stop.
    pub fn consumer<F>(&self, f: F) -> Consumer<T, F>
    where
        F: FnMut(T, &Context) -> Result + Send + 'static,
    {
        let member = Arc::new(Member { queue: self.clone(), joined: Mutex::new(false) });
        Consumer { member, f }
    }
}

/// The service that [`Queue::consumer`] makes.
#[must_use = "a service does nothing until a host runs it"]
pub struct Consumer<T, F> {
    member: Arc<Member<T>>,
    f: F,
}

/// One consumer among those of its queue.
struct Member<T> {
    queue: Queue<T>,
    /// Counted among the queue's consumers: from the start until it is asked to stop.
    joined: Mutex<bool>,
}

impl<T> Member<T> {
    fn join(&self) {
        if !std::mem::replace(&mut *self.joined.lock(), true) {
            self.queue.join();
        }
    }

    /// No longer counted. True: it was, and it was the last.
    fn leave(&self) -> bool {
        std::mem::take(&mut *self.joined.lock()) && self.queue.leave() == 0
    }

    /// It was asked to stop: with the last of them the queue closes.
    fn asked(&self) {
        if self.leave() {
            self.queue.close();
        }
    }
}

impl<T, F> Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    /// Handles what comes until the service is asked to stop (true), or the queue is closed and empty (false).
    fn until_asked(&mut self, ctx: &Context, job: &Context) -> bool {
        loop {
            match ctx.stop_token().recv_as(self.member.queue.receiver(), Waits::Job) {
                Ok(item) => self.handle(item, ctx, job),
                Err(error) => return error == RecvError::Stopped,
            }
        }
    }

    /// Handles what is left, until the time is up.
    fn finish(&mut self, ctx: &Context, job: &Context) {
        self.member.asked(); // if the callback has not come to it yet
        while !job.stop_requested() {
            let queue = &self.member.queue;
            let next = if queue.is_closed() {
                // Until disconnected, not until empty: a push that had got in before the closing is under way.
                job.stop_token().recv_as(queue.receiver(), Waits::Job).ok()
            } else {
                // Others go on, and close the queue: this one helps only with what is there.
                queue.receiver().try_recv().ok()
            };
            match next {
                Some(item) => self.handle(item, ctx, job),
                None => break,
            }
        }
        let (queue, out_of_time) = (&self.member.queue, job.stop_requested());
        if out_of_time && queue.is_closed() && !queue.is_empty() {
            ctx.say(EventKind::LeftInQueue { items: queue.len() });
        }
    }

    fn handle(&mut self, item: T, ctx: &Context, job: &Context) {
        line::log(Level::Trace, "hosted::queue", format_args!("service `{}` takes a job", ctx.name()));
        match guarded(|| (self.f)(item, job)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => ctx.report(error),
            Err(text) => ctx.report(format!("a job panicked: {text}")),
        }
    }

    /// What is to happen at the asking, also while a job is under way: the queue closes, and the time begins to run.
    fn at_the_asking(&self, ctx: &Context) -> StopCallback {
        let member = self.member.clone();
        ctx.on_stop(move || member.asked())
    }
}

impl<T, F> Service for Consumer<T, F>
where
    T: Send + 'static,
    F: FnMut(T, &Context) -> Result + Send + 'static,
{
    fn start(&mut self, _: &Context) -> Result {
        self.member.join();
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.member.join(); // where a test calls it without a start
        let time_up = ctx.time_up();
        let job = ctx.with_token(time_up.token());
        let _asked = self.at_the_asking(ctx);
        if self.until_asked(ctx, &job) {
            self.finish(ctx, &job);
        }
        Ok(())
    }

    fn stop(&mut self, _: &Context) -> Result {
        // A run that was not asked to stop leaves the queue open: others, or its next run, go on.
        self.member.leave();
        Ok(())
    }

    fn flaw(&self) -> Option<String> {
        let no_room = self.member.queue.receiver().capacity() == Some(0);
        no_room.then(|| "its queue has no room: Queue::bounded(0)".to_owned())
    }
}
