//! A periodic service whose running tick is not interrupted by a stop request.

use hosted::{BoxError, Context, Result, Service};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Calls `tick` at a fixed rate.
///
/// A tick that fails or panics is reported, and the next tick comes on schedule. A tick that is in progress at a stop request
/// continues. Its context stops shortly before the stop deadline.
pub(crate) struct Periodic<F> {
    pub(crate) period: Duration,
    pub(crate) tick: F,
}

impl<F> Periodic<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    /// Calls the closure once. A panic becomes an error.
    fn tick(&mut self, ctx: &Context) -> Result {
        let call = AssertUnwindSafe(|| (self.tick)(ctx));
        catch_unwind(call).unwrap_or_else(|payload| Err(panic_error(&*payload)))
    }
}

fn panic_error(payload: &(dyn Any + Send)) -> BoxError {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    format!("a tick panicked: {}", text.unwrap_or("unknown cause")).into()
}

impl<F> Service for Periodic<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    fn run(&mut self, ctx: &Context) -> Result {
        let job = ctx.for_job();
        for tick in ctx.ticks(self.period) {
            if tick.missed > 0 {
                ctx.report_missed_ticks(tick.missed);
            }
            if let Err(error) = self.tick(&job) {
                ctx.report_error(error);
            }
        }
        Ok(())
    }

    fn validate(&self) -> Result {
        if self.period.is_zero() { Err("period must not be zero".into()) } else { Ok(()) }
    }
}
