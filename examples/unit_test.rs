//! Prints `a week makes 7 backups` after a few milliseconds, and `a stop ends the wait: Err(Stopped)`.
//!
//! The test needs no host and does not sleep. It makes a context itself and moves a manual clock. Run the test at
//! the end of this file with `cargo test --example unit_test`.

use hosted::testing::ManualClock;
use hosted::{Context, Result, Service, StopSource};
use std::thread;
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

struct NightlyBackup {
    made: u32,
}

impl Service for NightlyBackup {
    fn run(&mut self, ctx: &Context) -> Result {
        loop {
            ctx.sleep(DAY)?;
            self.made += 1; // stands for the backup
        }
    }
}

/// Returns the number of backups after `days`, and the result of the service after a stop request.
fn backups_after(days: u32) -> (u32, Result) {
    let (time, stop) = (ManualClock::new(), StopSource::new());
    let ctx = Context::new("backup", stop.token()).with_clock(time.clock());
    let mut backup = NightlyBackup { made: 0 };
    let ended = thread::scope(|scope| {
        let running = scope.spawn(|| backup.run(&ctx));
        for _ in 0..days {
            time.wait_for_sleepers(1);
            time.advance(DAY);
        }
        time.wait_for_sleepers(1); // the service sleeps again, so the last backup is made
        stop.request_stop();
        running.join()
    });
    (backup.made, ended.unwrap_or_else(|_| Err("the backup panicked".into())))
}

fn main() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let began = Instant::now();
    let (made, ended) = backups_after(7);
    println!("a week makes {made} backups (it took {:.1?})", began.elapsed());
    println!("a stop ends the wait: {ended:?}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_week_makes_seven_backups_and_a_stop_ends_the_wait() {
        let (made, ended) = super::backups_after(7);
        assert_eq!(made, 7);
        assert!(ended.unwrap_err().is::<hosted::Stopped>());
    }
}
