//! A service that calls a function again and again, each time with a time limit.

use hosted::{Context, Result, Service, StopSource, is_stop_error};
use std::time::Duration;

/// Calls `call` until the stop request. The context of a call stops after the time that `limit` returns.
///
/// A call that fails or exceeds its limit is reported, and the next call follows. A call that a stop request interrupts is
/// no error.
pub(crate) struct Limited<L, F> {
    pub(crate) limit: L,
    pub(crate) call: F,
}

impl<L, F> Service for Limited<L, F>
where
    L: FnMut() -> Duration + Send + 'static,
    F: FnMut(&Context) -> Result + Send + 'static,
{
    fn run(&mut self, ctx: &Context) -> Result {
        loop {
            ctx.check()?;
            let limit = StopSource::linked([ctx.stop_token()]);
            limit.request_stop_after((self.limit)());
            match (self.call)(&ctx.with_token(limit.token())) {
                Ok(()) => {}
                Err(error) if !is_stop_error(&*error) => ctx.report_error(error),
                Err(error) if ctx.stop_requested() => return Err(error),
                Err(_) => ctx.report_error("time limit exceeded"),
            }
        }
    }
}
