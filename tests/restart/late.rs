//! What the log is told of is done: a service that is called late is not started again while the line is written.

use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, Restart, Result, Service};
use std::sync::OnceLock;
use std::time::Duration;

/// A hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Says when it is started, and when it is dropped.
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

/// Ends the backoff as soon as the service is called late, and lets the start go on only when the service has.
struct Slow {
    time: ManualClock,
    said: Receiver<&'static str>,
    then: Sender<&'static str>,
}

static SLOW: OnceLock<Slow> = OnceLock::new();

impl log::Log for Slow {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, line: &log::Record<'_>) {
        if line.args().to_string().contains("had not started") {
            _ = self.said.recv_timeout(LIMIT); // the first start
            self.time.wait_for_sleepers(1);
            self.time.advance(Duration::from_secs(3_600));
            _ = self.then.send(self.said.recv_timeout(LIMIT).unwrap_or("nothing"));
        }
    }

    fn flush(&self) {}
}

// 23, 41
#[test]
fn a_service_that_is_called_late_in_its_backoff_is_not_started_again() {
    let (time, (say, said), (then, what)) = (ManualClock::new(), unbounded(), unbounded());
    let mut host = Host::with_clock(time.clock());
    let restart = Restart::on_failure().also_first_start();
    host.add("late", Fails(say)).restart(restart).start_timeout(Duration::from_millis(300));
    assert!(SLOW.set(Slow { time, said, then }).is_ok());
    log::set_logger(SLOW.get().unwrap()).unwrap();
    log::set_max_level(log::LevelFilter::Error);
    let error = host.start().unwrap_err();
    assert_eq!(what.recv_timeout(LIMIT), Ok("drop"), "{error}");
}
