//! Services that many tests need.

use super::LIMIT;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use hosted::{Context, Phase, Result, Service, StopSource, StopToken, worker};

/// A service that waits for its stop request.
pub(crate) fn idle() -> impl Service {
    worker(waits)
}

/// A `run` that waits for its stop request.
pub(crate) fn waits(ctx: &Context) -> Result {
    ctx.wait();
    Ok(())
}

/// A service that ignores its stop request: it runs until the sender is dropped.
pub(crate) fn unresponsive() -> (impl Service, Sender<()>) {
    let (release, held) = bounded::<()>(0);
    let run = move |_: &Context| {
        _ = held.recv();
        Ok(())
    };
    (worker(run), release)
}

struct ByPhase<F>(F);

/// A service whose methods all call `f`, with the phase.
pub(crate) fn by_phase<F: FnMut(Phase, &Context) -> Result + Send + 'static>(f: F) -> impl Service {
    ByPhase(f)
}

impl<F: FnMut(Phase, &Context) -> Result + Send + 'static> Service for ByPhase<F> {
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

/// A service that calls `f` in one phase, and is idle in the others.
pub(crate) fn in_phase(phase: Phase, mut f: impl FnMut(&Context) -> Result + Send + 'static) -> impl Service {
    by_phase(move |current, ctx| if current == phase { f(ctx) } else { idle_phase(current, ctx) })
}

/// The phase of an idle service: it is ready at once, waits for the stop request, and has nothing to clean up.
pub(crate) fn idle_phase(phase: Phase, ctx: &Context) -> Result {
    if phase == Phase::Run {
        ctx.wait();
    }
    Ok(())
}

/// A gate where services wait for the test: each reports its arrival, and continues when the test lets it through.
#[derive(Clone)]
pub(crate) struct Gate {
    arrivals: (Sender<String>, Receiver<String>),
    go: (Sender<()>, Receiver<()>),
}

impl Gate {
    pub(crate) fn new() -> Self {
        Gate { arrivals: unbounded(), go: bounded(0) }
    }

    pub(crate) fn pass(&self, ctx: &Context) -> Result {
        self.arrivals.0.send(ctx.name().to_owned())?;
        self.go.1.recv()?;
        Ok(())
    }

    /// Waits for the next service, and returns its name.
    pub(crate) fn arrival(&self) -> String {
        self.arrivals.1.recv_timeout(LIMIT).expect("a service at the gate")
    }

    pub(crate) fn let_one_through(&self) {
        self.go.0.send_timeout((), LIMIT).expect("a service must wait at the gate");
    }
}

/// A value whose drop blocks until the sender is dropped.
pub(crate) struct BlocksInDrop(pub(crate) Receiver<()>);

impl Drop for BlocksInDrop {
    fn drop(&mut self) {
        _ = self.0.recv();
    }
}

/// A token that is already stopped.
pub(crate) fn stopped() -> StopToken {
    let source = StopSource::new();
    source.request_stop();
    source.token()
}
