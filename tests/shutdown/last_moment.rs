//! A service that has exited at the deadline and is not joined yet is not reported as hung.

use crate::support::log::on_line;
use crate::support::{LIMIT, idle, next};
use crossbeam_channel::unbounded;
use hosted::{Host, Outcome, Report};
use std::time::Duration;

/// Returns `true` if `last`, which exits at the deadline, is reported as stopped.
fn last_is_stopped() -> bool {
    let mut host = Host::new();
    for name in ["first of the last moment", "last of the last moment"] {
        host.add(name, idle());
    }
    host.start().unwrap();
    // With a timeout of zero, `first` receives its stop request at once, and the stop returns. Its outcome does not matter.
    let stopped = |report: &Report| matches!(report.services[1].outcome, Outcome::Stopped);
    let last_is_stopped = match host.stop(Duration::ZERO) {
        Ok(report) => stopped(&report),
        Err(error) => stopped(error.report()),
    };
    host.stop(LIMIT).unwrap();
    last_is_stopped
}

#[test]
fn a_service_that_has_ended_at_the_deadline_is_joined() {
    // Blocks the thread that stops the host: in the line that `first` is stopping, until the line that `last` has
    // stopped.
    let (ended, ends) = unbounded();
    on_line(move |line| match &*line.text {
        "service `first of the last moment` is stopping" => next(&ends),
        "service `last of the last moment` has stopped" => ended.send(()).unwrap(),
        _ => {}
    });
    // Try more than once: joining has 250 ms, and a busy machine may need longer.
    assert!((0..10).any(|_| last_is_stopped()));
}
