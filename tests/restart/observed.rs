//! A service that reports each of its steps to the test.

use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{Context, Result, Service};
use std::ops::RangeInclusive;
use std::time::Duration;

pub(crate) struct Observed<F> {
    steps: Sender<&'static str>,
    starts: u32,
    act: F,
}

/// A service that sends the name of each step, and then calls `act` with the name and the number of starts so far.
pub(crate) fn observed<F>(act: F) -> (Observed<F>, Receiver<&'static str>)
where
    F: FnMut(&'static str, u32, &Context) -> Result,
{
    let (steps, taken) = unbounded();
    (Observed { steps, starts: 0, act }, taken)
}

impl<F: FnMut(&'static str, u32, &Context) -> Result> Observed<F> {
    fn step(&mut self, step: &'static str, ctx: &Context) -> Result {
        self.steps.send(step)?;
        (self.act)(step, self.starts, ctx)
    }
}

impl<F: FnMut(&'static str, u32, &Context) -> Result + Send + 'static> Service for Observed<F> {
    fn start(&mut self, ctx: &Context) -> Result {
        self.starts += 1;
        self.step("start", ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.step("run", ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.step("stop", ctx)
    }
}

pub(crate) fn no_backoff() -> RangeInclusive<Duration> {
    Duration::ZERO..=Duration::ZERO
}

pub(crate) fn fails() -> Result {
    Err("no network".into())
}

pub(crate) fn panics() -> Result {
    panic!("no network")
}
