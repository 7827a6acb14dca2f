//! The last moment of a stop: who has ended by the deadline, and has not been joined by then, is not called hung.

use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{Host, Outcome, Report, worker};
use log::{LevelFilter, Log, Metadata, Record};
use std::sync::LazyLock;
use std::time::Duration;

/// A hang becomes a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// Holds up the one who stops, in the line that `first` is asked, until there is the line that `last` has ended.
struct InTime;

static ENDED: LazyLock<(Sender<()>, Receiver<()>)> = LazyLock::new(unbounded);

impl Log for InTime {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        match record.args().to_string().as_str() {
            "service `first` is stopping" => ENDED.1.recv_timeout(LIMIT).unwrap(),
            "service `last` has stopped" => ENDED.0.send(()).unwrap(),
            _ => {}
        }
    }

    fn flush(&self) {}
}

/// Whether `last`, which has ended when the time is up, is called stopped.
fn last_is_stopped() -> bool {
    let mut host = Host::new();
    for name in ["first", "last"] {
        let idle = worker(|ctx| {
            ctx.wait();
            Ok(())
        });
        host.add(name, idle);
    }
    host.start().unwrap();
    // Without any time `first` is asked at once, and the stop is over then; whether that one hears is its own affair.
    let stopped = |report: &Report| matches!(report.services[1].outcome, Outcome::Stopped);
    let last_is_stopped = match host.stop(Duration::ZERO) {
        Ok(report) => stopped(&report),
        Err(error) => stopped(error.report()),
    };
    host.stop(LIMIT).unwrap();
    last_is_stopped
}

#[test]
fn who_has_ended_at_the_deadline_is_joined() {
    log::set_logger(&InTime).unwrap();
    log::set_max_level(LevelFilter::Debug);
    // More than one try: joining has a quarter of a second, and this machine may need longer.
    assert!((0..10).any(|_| last_is_stopped()));
}
