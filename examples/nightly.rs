//! Prints `the next report is due in `, and makes a report every night at three o'clock in Zurich, until ctrl-c.
//!
//! The test at the end of this file runs half a year of nights in milliseconds, across both changes of daylight saving
//! time: `cargo test --example nightly --features cron`.

use hosted::{Clock, Context, Host, HostError, Result, Schedule, cron, task};
use std::time::SystemTime;

const NIGHTLY: &str = "0 3 * * *";
const ZONE: &str = "Europe/Zurich";

fn main() -> Result<(), HostError> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let report = |_: &Context| {
        println!("report made");
        announce_next(SystemTime::now())
    };
    let mut host = host(Clock::system(), report);
    host.add("announce", task(|_| announce_next(SystemTime::now())));
    println!("{}", host.run()?);
    Ok(())
}

/// Returns a host with the nightly report. A test passes its own clock.
fn host(clock: Clock, report: impl FnMut(&Context) -> Result + Send + 'static) -> Host {
    let mut host = Host::with_clock(clock);
    host.add("nightly report", cron(NIGHTLY, report).time_zone(ZONE));
    host
}

fn announce_next(now: SystemTime) -> Result {
    let schedule = NIGHTLY.parse::<Schedule>()?.in_time_zone(ZONE)?;
    let due = schedule.next_after(now).ok_or("the schedule is never due again")?;
    let minutes = due.duration_since(now)?.as_secs() / 60;
    println!("the next report is due in {} h {} min", minutes / 60, minutes % 60);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hosted::testing::ManualClock;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn half_a_year_has_a_report_each_night_at_three_by_the_clocks_of_zurich() {
        let midnight = SystemTime::UNIX_EPOCH + Duration::from_secs(1_796_083_200); // 2026-12-01 00:00 UTC
        let time = ManualClock::at(midnight);
        let (made, reports) = channel();
        let report = move |ctx: &Context| Ok(made.send(ctx.clock().system_time())?);
        let mut host = host(time.clock(), report);
        host.start().unwrap();
        for _ in 0..182 * 24 {
            time.wait_for_sleepers(1);
            time.advance(HOUR);
        }
        time.wait_for_sleepers(1); // so that the last report is made
        host.stop(Duration::from_secs(60)).unwrap();

        let hours: Vec<u64> = reports.iter().map(|at| at.duration_since(midnight).unwrap().as_secs() / 3_600).collect();
        assert_eq!(hours.len(), 182);
        // Zurich is an hour ahead of UTC in winter. Summer time begins on 28 March 2027, which is night 118.
        for (night, hour) in hours.into_iter().enumerate() {
            let by_utc = if night < 117 { 2 } else { 1 };
            assert_eq!(hour, night as u64 * 24 + by_utc, "night {night}");
        }
    }
}
