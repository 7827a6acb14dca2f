//! A service that degrades, stalls and fails at random, and records what it does.

use crate::truth::{Health, Truth};
use hosted::{Context, Result, Service};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A service is stalled after this time without a sign of life.
pub(crate) const LIMIT: Duration = Duration::from_millis(400);
/// A stall that is not found within this time counts as not found: a busy machine may need some seconds.
const PATIENCE: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(5);

pub(crate) struct Faulty {
    truth: Arc<Truth>,
    random: RandomState,
    drawn: u64,
}

impl Faulty {
    pub(crate) fn new(truth: Arc<Truth>) -> Self {
        Faulty { truth, random: RandomState::new(), drawn: 0 }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.drawn += 1;
        self.random.hash_one(self.drawn) % n
    }

    fn time(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.below(millis))
    }

    fn degrade(&mut self, ctx: &Context) -> Result {
        self.truth.count(|acts| acts.degradations += 1);
        self.truth.set(None);
        ctx.degraded("no connection to 127.0.0.1:5672");
        self.truth.set(Some(Health::Degraded));
        ctx.sleep(self.time(2_000))?;
        self.truth.set(None);
        ctx.healthy();
        Ok(())
    }

    fn stall(&mut self, ctx: &Context) -> Result {
        self.truth.count(|acts| acts.stalls += 1);
        self.truth.set(None);
        let begin = Instant::now();
        while !self.truth.is_reported_stalled() {
            thread::sleep(MOMENT); // not a wait of the library, so it is no sign of life
            if begin.elapsed() > PATIENCE {
                self.truth.count(|acts| acts.stalls_not_found += 1);
                return Ok(());
            }
        }
        self.truth.set(Some(Health::Stalled));
        thread::sleep(self.time(1_500));
        self.truth.set(None);
        ctx.heartbeat();
        while self.truth.is_reported_stalled() {
            ctx.sleep(MOMENT)?;
        }
        Ok(())
    }
}

impl Service for Faulty {
    fn run(&mut self, ctx: &Context) -> Result {
        loop {
            self.truth.set(Some(Health::Healthy));
            if self.truth.must_calm_down() {
                self.truth.mark_calm();
                ctx.wait();
                return Ok(());
            }
            ctx.sleep(self.time(3_000))?;
            match self.below(3) {
                0 => self.degrade(ctx)?,
                1 => self.stall(ctx)?,
                _ => {
                    self.truth.count(|acts| acts.restarts += 1);
                    self.truth.set(None);
                    return Err("on purpose".into());
                }
            }
        }
    }
}
