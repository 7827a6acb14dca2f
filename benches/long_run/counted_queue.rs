//! A queue that counts: each accepted job must be handled, or left to be drained.

use crate::chance::Chance;
use crate::tally::Sums;
use hosted::{Context, PushError, Queue, Result, Service, worker};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct CountedQueue {
    pub queue: Queue<u64>,
    pub sums: Arc<Sums>,
}

impl CountedQueue {
    pub fn new(room: usize) -> Self {
        CountedQueue { queue: Queue::bounded(room), sums: Arc::default() }
    }

    /// A service that fills the queue by each way of pushing, with a pause after each job.
    pub fn producer(&self, chance: &Chance, pause: Duration) -> impl Service {
        let (queue, chance) = (self.clone(), chance.clone());
        worker(move |ctx| {
            loop {
                queue.push(&chance, ctx)?;
                ctx.sleep(pause)?;
            }
        })
    }

    fn push(&self, chance: &Chance, ctx: &Context) -> Result {
        let job = chance.below(u64::MAX);
        let pushed = match job % 3 {
            0 => self.queue.try_push(job),
            1 => self.queue.push_timeout(job, Duration::from_millis(1)),
            _ => self.queue.push_until(job, ctx.stop_token()),
        };
        match pushed {
            Ok(()) => self.sums.accepted.add(1),
            Err(PushError::Full(_)) => {}
            Err(error) => {
                ctx.check()?; // after a stop request the queue may be closed: without time, a stop ignores the order
                Err(error)?
            }
        }
        Ok(())
    }

    /// A service that calls `work` for each job.
    pub fn consumer(&self, work: impl Fn(&Context) -> Result + Send + 'static) -> impl Service {
        let sums = self.sums.clone();
        self.queue.consumer(move |_, ctx| {
            sums.handled.add(1);
            work(ctx)
        })
    }

    /// Drains the remaining jobs. Call it only after all consumers have exited.
    pub fn drain(&self) {
        self.sums.drained.add(self.queue.drain().len() as u64);
    }
}
