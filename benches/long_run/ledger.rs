//! The books of a queue: what it accepted must have been handled, or be left to be drained.

use crate::chance::Chance;
use crate::tally::Sums;
use hosted::{Context, PushError, Queue, Result, Service, worker};
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct Books {
    pub queue: Queue<u64>,
    pub sums: Arc<Sums>,
}

impl Books {
    pub fn new(room: usize) -> Self {
        Books { queue: Queue::bounded(room), sums: Arc::default() }
    }

    /// A service that fills the queue, by each way of pushing that there is, with a pause after each job.
    pub fn producer(&self, chance: &Chance, pause: Duration) -> impl Service {
        let (books, chance) = (self.clone(), chance.clone());
        worker(move |ctx| {
            loop {
                books.push(&chance, ctx)?;
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
                ctx.check()?; // who is asked to stop may find it closed: a stop can be short of time for its order
                Err(error)?
            }
        }
        Ok(())
    }

    /// A service that does `work` for each job.
    pub fn consumer(&self, work: impl Fn(&Context) -> Result + Send + 'static) -> impl Service {
        let sums = self.sums.clone();
        self.queue.consumer(move |_, ctx| {
            sums.handled.add(1);
            work(ctx)
        })
    }

    /// Takes out what is left. Only when nobody consumes any more.
    pub fn drain(&self) {
        self.sums.drained.add(self.queue.drain().len() as u64);
    }
}
