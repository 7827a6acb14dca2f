//! Guarantees 31, 48 and 56, for errors with user code in their `Display` and their `Drop`.

use crate::support::LIMIT;
use crossbeam_channel::{Sender, bounded};
use hosted::{Context, Host, HostHandle, Outcome, Phase, Restart, Result, Service, StopReason, worker};
use std::fmt;
use std::time::Duration;

/// An error that takes a snapshot of the host when it is formatted and when it is dropped.
struct Curious(HostHandle);

impl fmt::Display for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of {} failed", self.0.services().len())
    }
}

impl fmt::Debug for Curious {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curious")
    }
}

impl std::error::Error for Curious {}

impl Drop for Curious {
    fn drop(&mut self) {
        self.0.services();
    }
}

/// An error that panics when it is formatted.
#[derive(Debug)]
struct Shy;

impl fmt::Display for Shy {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("do not format me")
    }
}

impl std::error::Error for Shy {}

/// Returns the result of `f`. Fails if it hangs.
fn within_the_limit<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = bounded(1);
    std::thread::spawn(move || sender.send(f()));
    receiver.recv_timeout(LIMIT).expect("no deadlock")
}

/// Fails in one phase, with an error that takes a snapshot of the host.
struct Fails(Phase);

impl Fails {
    fn come_to(&self, phase: Phase, ctx: &Context) -> Result {
        if self.0 == phase { Err(Curious(ctx.host().clone()).into()) } else { Ok(()) }
    }
}

impl Service for Fails {
    fn start(&mut self, ctx: &Context) -> Result {
        self.come_to(Phase::Start, ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        ctx.wait();
        self.come_to(Phase::Run, ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.come_to(Phase::Stop, ctx)
    }
}

// 48, 56
#[test]
fn an_error_may_call_the_host_in_its_display() {
    for phase in [Phase::Start, Phase::Run, Phase::Stop] {
        let error = within_the_limit(move || {
            let mut host = Host::new();
            host.add("fails", Fails(phase));
            host.start().and_then(|()| host.stop(LIMIT).map(drop)).unwrap_err()
        });
        assert_eq!(error.failures()[0].phase(), phase);
        assert!(error.to_string().contains("one of 1 failed"), "{error}");
    }
}

fn flaky(sender: Sender<()>) -> impl Service {
    worker(move |ctx| {
        if ctx.restarts() == 0 {
            return Err(Curious(ctx.host().clone()).into());
        }
        sender.send(())?;
        ctx.wait();
        Ok(())
    })
}

// 48
#[test]
fn an_error_may_call_the_host_in_its_drop() {
    within_the_limit(|| {
        let (sender, receiver) = bounded(1);
        let mut host = Host::new();
        let restart = Restart::on_failure().backoff(Duration::from_millis(1)..=Duration::from_millis(1));
        host.add("flaky", flaky(sender)).restart(restart);
        host.start().unwrap();
        receiver.recv_timeout(LIMIT).unwrap();
        host.stop(LIMIT).unwrap();
    });
}

// 31
#[test]
fn an_error_whose_display_panics_is_still_a_failure() {
    let mut host = Host::new();
    let run = |ctx: &Context| {
        ctx.wait_until_started()?;
        Err(Shy.into())
    };
    host.add("shy", worker(run));
    host.start().unwrap();
    let (handle, (sender, receiver)) = (host.handle(), bounded(1));
    let _guard = handle.stopping().on_stop(move || _ = sender.send(()));
    receiver.recv_timeout(LIMIT).expect("the error requests the stop of the host");
    assert_eq!(host.wait(), StopReason::Failed("shy".into()));
    let error = host.stop(LIMIT).unwrap_err();
    assert!(matches!(error.report().services[0].outcome, Outcome::Failed(_)));
    assert_eq!((error.failures()[0].service(), error.failures()[0].phase()), ("shy", Phase::Run));
}
