//! Promise 37, the rest: under a board's lock no foreign code runs, such as the drop of a service's error.

use crossbeam_channel::{RecvTimeoutError, Sender, bounded, unbounded};
use hosted::testing::ManualClock;
use hosted::{Context, Host, HostHandle, OnFailure, Phase, Restart, Result, Service, group, worker};
use std::time::Duration;
use std::{fmt, thread};

/// Only so that a hang becomes a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test that would hang if a promise were broken.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, over) = bounded::<()>(0);
    let body = move || {
        let _done = done; // dropped by a panic too
        test();
    };
    let thread = thread::spawn(body);
    assert_eq!(over.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected), "the test hangs");
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// A service that is one function of the phase.
struct Acts<F>(F);

fn acts<F: FnMut(Phase, &Context) -> Result + Send + 'static>(f: F) -> impl Service {
    Acts(f)
}

impl<F: FnMut(Phase, &Context) -> Result + Send + 'static> Service for Acts<F> {
    fn start(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Start, ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Run, ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        (self.0)(Phase::Stop, ctx)
    }
}

/// What a service does unless told: it is ready at once, waits for the stop and has nothing to clean up.
fn otherwise(phase: Phase, ctx: &Context) -> Result {
    if phase == Phase::Run {
        ctx.wait();
    }
    Ok(())
}

/// An error that looks at the host when it is dropped: it would wait for ever for a lock that is held around it.
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
fn the_error_of_a_run_that_is_repeated_is_dropped_with_no_lock_held() {
    in_time(|| {
        let (mut host, (tell, dropped)) = (Host::new(), unbounded());
        let mut lives = 0;
        let run = move |ctx: &Context| {
            lives += 1;
            match lives {
                1 => Err(Nosy(ctx.host().clone(), tell.clone()).into()),
                _ => otherwise(Phase::Run, ctx),
            }
        };
        host.add("a", worker(run)).restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
        host.start().unwrap();
        dropped.recv().unwrap();
        host.stop(PATIENCE).unwrap();
    });
}

// 37
#[test]
fn the_second_error_of_an_ignored_service_is_dropped_with_no_lock_held() {
    in_time(|| {
        let (mut host, (tell, dropped)) = (Host::new(), unbounded());
        let service = acts(move |phase, ctx| match phase {
            Phase::Start => Ok(()),
            _ => Err(Nosy(ctx.host().clone(), tell.clone()).into()),
        });
        host.add("a", service).on_failure(OnFailure::Ignore);
        host.start().unwrap();
        dropped.recv().unwrap();
        host.stop(PATIENCE).unwrap();
    });
}

// 37
#[test]
fn the_errors_of_a_groups_former_children_are_dropped_with_no_lock_held() {
    in_time(|| {
        let (time, (tell, dropped)) = (ManualClock::new(), unbounded());
        let mut host = Host::with_clock(time.clock());
        let (whole, mut fills) = (host.handle(), 0);
        let fill = move |inside: &mut Host| {
            fills += 1;
            let error = (fills == 1).then(|| Nosy(whole.clone(), tell.clone()));
            let mut error = error.map(Into::into);
            let run = move |ctx: &Context| {
                ctx.wait_until_started()?; // or it is the start that fails
                error.take().map_or_else(|| otherwise(Phase::Run, ctx), Err)
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
        host.stop(PATIENCE).unwrap();
    });
}
