//! Services that fail and are restarted: alone, and as a group.

use crate::chance::Chance;
use crossbeam_channel::bounded;
use hosted::{Context, Host, Restart, Result, Service, StopCallback, group, worker};
use std::fs::File;
use std::time::Duration;

/// Restarts soon, without a limit.
pub fn again() -> Restart {
    let backoff = Duration::from_millis(1)..=Duration::from_millis(20);
    Restart::always().backoff(backoff).give_up_after(u32::MAX).also_first_start()
}

/// A service whose `start`, `run` and `stop` may fail. The values that it holds must not outlive a run.
pub struct Flaky {
    chance: Chance,
    held: Option<(File, StopCallback)>,
}

impl Flaky {
    pub fn new(chance: &Chance) -> Self {
        Flaky { chance: chance.clone(), held: None }
    }
}

impl Service for Flaky {
    fn start(&mut self, ctx: &Context) -> Result {
        self.held = Some((File::open("/proc/self/stat")?, ctx.on_stop(|| ())));
        self.chance.strike(10)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        ctx.sleep(self.chance.millis(1..100))?;
        self.chance.strike(2)
    }

    fn stop(&mut self, _: &Context) -> Result {
        self.held = None;
        self.chance.strike(20)
    }
}

/// A reader and a decoder that share a channel, and a group inside the group. If one of them fails, all are created
/// again.
pub fn session(chance: &Chance) -> impl Service {
    let chance = chance.clone();
    group(move |session| {
        chance.strike(10)?;
        let (sender, lines) = bounded(4);
        let (decoding, nested) = (chance.clone(), chance.clone());
        session.add(
            "decoder",
            worker(move |ctx| {
                while let Ok(()) = ctx.recv(&lines) {
                    decoding.strike(30)?;
                }
                Ok(())
            }),
        );
        session.add("cache", group(move |cache| idle(cache, &nested)));
        session.add(
            "reader",
            worker(move |ctx| {
                loop {
                    ctx.sleep(Duration::from_millis(5))?;
                    _ = sender.try_send(()); // if the decoder has exited, this service exits too
                }
            }),
        );
        Ok(())
    })
}

fn idle(host: &mut Host, chance: &Chance) -> Result {
    host.add(
        "idle",
        worker(|ctx| {
            ctx.wait();
            Ok(())
        }),
    );
    chance.strike(30)
}
