//! `every`: a service that calls a function at a fixed rate.

use crate::diagnose::{Waits, show_life};
use crate::report::{BoxError, Result, is_stop_error};
use crate::service::{Context, Service};
use crate::util::log::log_line;
use crate::util::panic::catch_panic;
use log::Level;
use std::time::Duration;

/// Creates a service that calls `f` every `period`, for polling, clean-up or heartbeats.
///
/// - The rate is fixed: a slow tick does not shift the ticks after it.
/// - Ticks never overlap. Ticks that pass while `f` is busy are counted, logged and skipped.
/// - A tick that fails or panics is logged, counted and emitted as an event. The schedule goes on.
/// - A tick that is in progress at the stop is finished. No tick follows it.
///
/// .NET: a timed `BackgroundService` over a `PeriodicTimer`.
///
/// ```
/// use hosted::{Host, every};
/// use std::time::Duration;
///
/// let mut host = Host::new();
/// host.add("clean-up", every(Duration::from_secs(3600), |_| {
///     // remove old files
///     Ok(())
/// }).immediately());
/// # host.start().unwrap();
/// # host.stop(Duration::from_secs(10)).unwrap();
/// ```
///
/// [`Host::start`](crate::Host::start) returns an error if `period` is zero.
#[doc(alias("PeriodicTimer", "Timer", "interval"))]
pub fn every<F>(period: Duration, f: F) -> Every<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    Every { period, f, immediately: false, fixed_delay: false, fail_fast: false }
}

/// A periodic service. Created by [`every`].
#[must_use = "a service does nothing until a host runs it"]
pub struct Every<F> {
    period: Duration,
    f: F,
    immediately: bool,
    fixed_delay: bool,
    fail_fast: bool,
}

impl<F> Every<F> {
    /// Runs the first tick at once, instead of after one period.
    pub fn immediately(mut self) -> Self {
        self.immediately = true;
        self
    }

    /// Waits one period after the end of each tick, instead of keeping a fixed rate.
    pub fn fixed_delay(mut self) -> Self {
        self.fixed_delay = true;
        self
    }

    /// Makes the service fail if a tick fails or panics. Without this option, the service never fails, so
    /// [`restart`](crate::ServiceOptions::restart) has no effect.
    pub fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }
}

impl<F> Every<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    fn run_at_fixed_rate(&mut self, ctx: &Context) -> Result {
        let ticks = ctx.ticks(self.period);
        for tick in if self.immediately { ticks.immediately() } else { ticks } {
            if tick.missed > 0 {
                ctx.report_missed_ticks(tick.missed);
            }
            call_tick(&mut self.f, self.fail_fast, ctx)?;
        }
        Ok(())
    }

    fn run_with_fixed_delay(&mut self, ctx: &Context) -> Result {
        if !self.immediately {
            ctx.sleep_as(self.period, Waits::Tick)?;
        }
        loop {
            ctx.check()?;
            call_tick(&mut self.f, self.fail_fast, ctx)?;
            ctx.sleep_as(self.period, Waits::Tick)?;
        }
    }
}

/// Calls `f` for one tick. Returns an error only if the error ends the service.
pub(super) fn call_tick<F>(f: &mut F, fail_fast: bool, ctx: &Context) -> Result
where
    F: FnMut(&Context) -> Result,
{
    log_line(Level::Trace, "hosted::tick", format_args!("service `{}`: tick started", ctx.name()));
    show_life();
    if fail_fast {
        return f(ctx).inspect(|()| show_life());
    }
    let ticked = catch_panic(|| f(ctx));
    show_life();
    let error: BoxError = match ticked {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) if ctx.stop_requested() && is_stop_error(&*error) => return Err(error),
        Ok(Err(error)) => error,
        Err(text) => format!("a tick panicked: {text}").into(),
    };
    ctx.report_error(error);
    Ok(())
}

impl<F> Service for Every<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    fn run(&mut self, ctx: &Context) -> Result {
        if self.fixed_delay { self.run_with_fixed_delay(ctx) } else { self.run_at_fixed_rate(ctx) }
    }

    fn validate(&self) -> Result {
        if self.period.is_zero() { Err("period must not be zero".into()) } else { Ok(()) }
    }
}
