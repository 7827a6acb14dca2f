//! The host: its board, the lives of its services, and the stop walk.

use crate::sync::time;
use crate::{Host, worker};
use std::time::Duration;

#[test]
fn a_host_starts_and_stops() {
    shuttle::check_random(
        || {
            time::stands_still();
            let mut host = Host::new();
            host.add(
                "a",
                worker(|ctx| {
                    ctx.wait();
                    Ok(())
                }),
            );
            host.add(
                "b",
                worker(|ctx| {
                    ctx.wait();
                    Ok(())
                }),
            );
            host.start().unwrap();
            host.stop(Duration::MAX).unwrap();
        },
        10_000,
    );
}
#[test]
fn a_host_starts_and_stops_in_running_time() {
    shuttle::check_random(
        || {
            time::runs_one_in(20);
            let mut host = Host::new();
            host.add(
                "a",
                worker(|ctx| {
                    ctx.wait();
                    Ok(())
                }),
            );
            host.add(
                "b",
                worker(|ctx| {
                    ctx.wait();
                    Ok(())
                }),
            );
            host.start().unwrap();
            _ = host.stop(Duration::from_secs(10));
        },
        10_000,
    );
}
