//! A consumer that gives its own token to the test. Jobs have a different token.

use crossbeam_channel::{Receiver, Sender, unbounded};
use hosted::{Context, Result, Service, StopToken};

pub(crate) struct WithToken<S>(pub(crate) S, pub(crate) Sender<StopToken>);

pub(crate) fn with_token<S: Service>(consumer: S) -> (WithToken<S>, Receiver<StopToken>) {
    let (token, tokens) = unbounded();
    (WithToken(consumer, token), tokens)
}

impl<S: Service> Service for WithToken<S> {
    fn start(&mut self, ctx: &Context) -> Result {
        self.1.send(ctx.stop_token().clone())?;
        self.0.start(ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.0.run(ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.0.stop(ctx)
    }
}
