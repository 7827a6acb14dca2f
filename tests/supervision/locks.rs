//! Guarantee 37: the registry holds no lock while user code runs, such as the drop of a service's error.

use crate::support::{LIMIT, by_phase, idle_phase, in_time};
use crossbeam_channel::{Sender, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, HostHandle, OnFailure, Phase, Restart, group, worker};
use std::fmt;
use std::time::Duration;

/// An error that calls the host when it is dropped. If a lock were held around the drop, it would wait forever.
#[derive(Debug)]
struct Nosy(HostHandle, Sender<()>);

impl fmt::Display for Nosy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nosy")
    }
}

impl std::error::Error for Nosy {}

impl Drop for Nosy {
    fn drop(&mut self) {
        drop(self.0.services());
        _ = self.1.send(());
    }
}

// 37
#[test]
fn the_error_of_a_restarted_run_is_dropped_without_a_lock() {
    in_time(|| {
        let (mut host, (sender, dropped)) = (Host::new(), unbounded());
        let mut lives = 0;
        let run = move |ctx: &Context| {
            lives += 1;
            match lives {
                1 => Err(Nosy(ctx.host().clone(), sender.clone()).into()),
                _ => idle_phase(Phase::Run, ctx),
            }
        };
        host.add("a", worker(run)).restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
        host.start().unwrap();
        dropped.recv().unwrap();
        host.stop(LIMIT).unwrap();
    });
}

// 37
#[test]
fn the_second_error_of_an_ignored_service_is_dropped_without_a_lock() {
    in_time(|| {
        let (mut host, (sender, dropped)) = (Host::new(), unbounded());
        let service = by_phase(move |phase, ctx| match phase {
            Phase::Start => Ok(()),
            _ => Err(Nosy(ctx.host().clone(), sender.clone()).into()),
        });
        host.add("a", service).on_failure(OnFailure::Ignore);
        host.start().unwrap();
        dropped.recv().unwrap();
        host.stop(LIMIT).unwrap();
    });
}

// 37
#[test]
fn the_errors_of_a_groups_former_children_are_dropped_without_a_lock() {
    in_time(|| {
        let (time, (sender, dropped)) = (ManualClock::new(), unbounded());
        let mut host = Host::with_clock(time.clock());
        let (whole, mut fills) = (host.handle(), 0);
        let fill = move |inside: &mut Host| {
            fills += 1;
            let error = (fills == 1).then(|| Nosy(whole.clone(), sender.clone()));
            let mut error = error.map(Into::into);
            let run = move |ctx: &Context| {
                ctx.wait_until_started()?; // otherwise the start fails
                error.take().map_or_else(|| idle_phase(Phase::Run, ctx), Err)
            };
            inside.add("child", worker(run));
            Ok(())
        };
        let hour = Duration::from_secs(3600);
        host.add("group", group(fill)).restart(Restart::on_failure().backoff(hour..=hour));
        host.start().unwrap();
        time.wait_for_sleepers(1);
        time.advance(hour);
        dropped.recv().unwrap();
        host.stop(LIMIT).unwrap();
    });
}
