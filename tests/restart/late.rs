//! A service that misses its start timeout is not started again, even while the log line about it is written.

use crate::support::LIMIT;
use crate::support::log::{Level, on_line};
use crossbeam_channel::{Sender, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, Restart, Result, Service};
use std::time::Duration;

/// Reports its start and its drop.
struct Fails(Sender<&'static str>);

impl Service for Fails {
    fn start(&mut self, _: &Context) -> Result {
        self.0.send("start")?;
        Err("no answer".into())
    }
}

impl Drop for Fails {
    fn drop(&mut self) {
        _ = self.0.send("drop");
    }
}

// 23, 41
#[test]
fn a_service_that_misses_its_start_timeout_in_a_backoff_is_not_restarted() {
    let (time, (say, said), (then, what)) = (ManualClock::new(), unbounded(), unbounded());
    let mut host = Host::with_clock(time.clock());
    let restart = Restart::on_failure().also_first_start();
    host.add("late", Fails(say)).restart(restart).start_timeout(Duration::from_millis(300));
    // Ends the backoff when the service has failed, and lets `start` return only after that.
    on_line(move |line| {
        if line.level == Level::Error && line.text.contains("`late` did not start within") {
            _ = said.recv_timeout(LIMIT); // the first start
            time.wait_for_sleepers(1);
            time.advance(Duration::from_secs(3_600));
            _ = then.send(said.recv_timeout(LIMIT).unwrap_or("nothing"));
        }
    });
    let error = host.start().unwrap_err();
    assert_eq!(what.recv_timeout(LIMIT), Ok("drop"), "{error}");
}
