//! Tokens, callbacks and timers that come and go below one parent that stays.

use crate::chance::Chance;
use hosted::{Context, Service, StopSource, StopToken, worker};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_secs(3600);

/// A few thousand rounds a second.
pub fn traffic(parent: &StopToken, chance: &Chance) -> impl Service {
    let (parent, chance) = (parent.clone(), chance.clone());
    worker(move |ctx| {
        loop {
            (0..20).for_each(|_| come_and_go(&parent, ctx, &chance));
            ctx.sleep(chance.millis(1..10))?;
        }
    })
}

fn come_and_go(parent: &StopToken, ctx: &Context, chance: &Chance) {
    let source = StopSource::new();
    let child = StopSource::linked([parent, ctx.stop_token(), &source.token()]);
    let grandchild = StopSource::linked([&child.token()]);
    let [on_parent, on_child] = [parent.clone(), child.token()].map(|token| token.on_stop(move || drop(vec![0; 100])));
    match chance.below(100) {
        0 => {
            source.request_stop_after(SOON);
            grandchild.token().wait();
        }
        1 => {
            child.request_stop_after(SOON);
            _ = grandchild.token().done().recv(); // disconnects
        }
        2..20 => child.request_stop_after(SOON), // or it is dropped before the timer fires
        20..40 => source.request_stop_after(LATER),
        40..60 => _ = source.request_stop(),
        60..70 => _ = on_child.unregister(),
        70..80 => drop(child),
        80..90 => _ = grandchild.token().wait_timeout(Duration::ZERO),
        _ => drop(on_parent),
    }
}
