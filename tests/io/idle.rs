//! The feature `io` uses no processor time while nothing happens.

#![cfg(all(feature = "io", target_os = "linux"))] // only /proc shows the processor time of a thread

use crate::support::sockets::{connected, silent, tcp};
use crate::support::{LIMIT, alone, assert_at_rest, wait_for_task};
use hosted::{Context, Host, Result, worker};
use std::io::Read;
use std::process::Command;
use std::time::Duration;

/// The name of a service, and what it is blocked in.
type Blocked = (&'static str, fn(&Context) -> Result);

const SERVICES: &[Blocked] = &[
    ("accepts", |ctx| Ok(ctx.accept(&tcp()).map(drop)?)),
    ("connects", |ctx| Ok(ctx.connect(silent(), Duration::MAX).map(drop)?)),
    ("reads", |ctx| {
        let (here, _there) = connected();
        let mut stream = ctx.interruptible(here);
        stream.set_read_timeout(Duration::from_secs(3600));
        Ok(stream.read_exact(&mut [0])?)
    }),
    ("waits", |ctx| {
        let mut child = Command::new("sleep").arg("3600").spawn()?;
        ctx.wait_child(&mut child, LIMIT)?;
        Ok(())
    }),
];

// 83
#[test]
fn services_blocked_in_calls_use_no_cpu_and_do_not_wake() {
    alone!();
    silent(); // created here, because creating it waits too
    let mut host = Host::new();
    for &(name, run) in SERVICES {
        host.add(name, worker(run));
    }
    host.start().unwrap();
    let tasks: Vec<_> = SERVICES.iter().map(|(name, _)| wait_for_task(name)).collect();
    assert_at_rest(&tasks);
    host.stop(LIMIT).unwrap();
}
