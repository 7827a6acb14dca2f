//! `cron`: a service that calls a function by a wall-clock schedule.

use super::every::call_tick;
use super::schedule::{Schedule, ScheduleError};
use crate::diagnose::Waits;
use crate::report::Result;
use crate::service::{Context, Service};
use crate::util::sync::system_now;
use std::time::{Duration, SystemTime};

/// Creates a service that calls `f` whenever `schedule` is due, for example every night at three.
///
/// `schedule` is the text of a [`Schedule`]: a cron expression of five fields, or of six with seconds first.
/// [`time_zone`](Cron::time_zone) chooses a time zone; the default is the time zone of the system.
///
/// - Runs never overlap. If the schedule is due several times during a run, or while the machine sleeps, the service
///   runs once and counts the other times as missed ticks, up to 10,000.
/// - If the wall clock is set back, no run is repeated. If it is set forward, the service notices within a minute,
///   because a waiting `cron` service checks the wall clock once a minute.
/// - A run that fails or panics is logged, counted and emitted as an event. The schedule goes on.
/// - A run that is in progress at the stop is finished. No run follows it.
///
/// [`Schedule`] describes daylight saving time. .NET: Quartz.NET's `CronTrigger`. systemd: `OnCalendar=`.
///
/// ```
/// use hosted::{Host, cron};
///
/// let mut host = Host::new();
/// host.add("report", cron("0 3 * * *", |_| {
///     // write last night's report
///     Ok(())
/// }).time_zone("Europe/Berlin"));
/// # host.start().unwrap();
/// # host.stop(std::time::Duration::from_secs(10)).unwrap();
/// ```
///
/// [`Host::start`](crate::Host::start) returns an error if the expression or the time zone is not valid, or if the
/// schedule is never due. The error quotes the schedule.
#[doc(alias("CronTrigger", "OnCalendar", "schedule", "nightly"))]
pub fn cron<F>(schedule: impl AsRef<str>, f: F) -> Cron<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    Cron { schedule: schedule.as_ref().parse(), f, fail_fast: false, latest: None }
}

/// A service that runs by a wall-clock schedule. Created by [`cron`].
#[must_use = "a service does nothing until a host runs it"]
pub struct Cron<F> {
    schedule: Result<Schedule, ScheduleError>,
    f: F,
    fail_fast: bool,
    /// The due time of the latest run. Restarts keep it, so that no run is repeated.
    latest: Option<SystemTime>,
}

/// The longest time between two checks of the wall clock, because somebody can set it forward.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The largest number of missed ticks that one run counts. A clock can jump from 1970 to today, and counting delays the stop.
const MAX_MISSED: u32 = 10_000;

impl<F> Cron<F> {
    /// Uses the time zone with this IANA name, for example `America/New_York` or `UTC`.
    pub fn time_zone(mut self, iana_name: impl Into<String>) -> Self {
        self.schedule = self.schedule.and_then(|schedule| schedule.in_time_zone(&iana_name.into()));
        self
    }

    /// Makes the service fail if a run fails or panics. Without this option, the service never fails, so
    /// [`restart`](crate::ServiceOptions::restart) has no effect.
    pub fn fail_fast(mut self) -> Self {
        self.fail_fast = true;
        self
    }
}

impl<F> Cron<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    /// Sleeps until the schedule is due. Returns the due time, or `None` if the schedule is never due again.
    fn wait_until_due(&mut self, schedule: &Schedule, ctx: &Context) -> Result<Option<SystemTime>> {
        loop {
            // The schedule can be due already, after a long run. Do not start another run after a stop request.
            ctx.check()?;
            let now = ctx.clock().system_time();
            // If the wall clock was set back, `latest` is in the future. Searching from there repeats no run.
            let after = *self.latest.get_or_insert(now);
            let Some(due) = schedule.next_after(after) else { return Ok(None) };
            match due.duration_since(now) {
                Ok(time) if !time.is_zero() => ctx.sleep_part(time.min(LONGEST_SLEEP), time, Waits::Schedule)?,
                _ => return Ok(Some(due)),
            }
        }
    }

    /// Skips the other due times up to now. Returns their number.
    fn skip_missed(&mut self, schedule: &Schedule, ctx: &Context) -> u32 {
        let now = ctx.clock().system_time();
        let mut missed = 0;
        while let Some(due) = self.latest.and_then(|latest| schedule.next_after(latest)).filter(|&due| due <= now) {
            missed += 1;
            self.latest = Some(if missed < MAX_MISSED { due } else { now });
        }
        missed
    }
}

impl<F> Service for Cron<F>
where
    F: FnMut(&Context) -> Result + Send + 'static,
{
    fn run(&mut self, ctx: &Context) -> Result {
        let schedule = self.schedule.clone()?;
        while let Some(due) = self.wait_until_due(&schedule, ctx)? {
            self.latest = Some(due);
            let missed = self.skip_missed(&schedule, ctx);
            if missed > 0 {
                ctx.report_missed_ticks(missed);
            }
            call_tick(&mut self.f, self.fail_fast, ctx)?;
        }
        ctx.wait(); // the schedule has no due time left in the calendar
        Ok(())
    }

    fn validate(&self) -> Result {
        let schedule = self.schedule.clone()?;
        match schedule.next_after(system_now()) {
            Some(_) => Ok(()),
            None => Err(ScheduleError::new(schedule.to_string(), "it is never due").into()),
        }
    }
}
