//! The second host: a small application with every kind of service.

use crate::chance::Chance;
use crate::counted_queue::CountedQueue;
use crate::flaky::{Flaky, again, session};
use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Context, Host, Result, Service, StopSource, every, worker};
use std::convert::Infallible;
use std::time::Duration;

pub struct Guest {
    pub host: Host,
    alive: Sender<Infallible>,
}

/// What remains of a guest: its queue, and a channel that disconnects when the last service is dropped.
pub struct Remains {
    pub queue: CountedQueue,
    pub gone: Receiver<Infallible>,
}

impl Guest {
    /// Each job takes the time `work`. Jobs that the consumers have no time for are left in the queue.
    pub fn new(chance: &Chance, work: Duration) -> (Self, Remains) {
        let (alive, gone) = bounded(0);
        let mut guest = Guest { host: Host::new(), alive };
        let queue = CountedQueue::new(64);
        for name in ["consumer 1", "consumer 2"] {
            let chance = chance.clone();
            let job = move |ctx: &Context| {
                ctx.sleep(work)?;
                chance.strike(100)
            };
            guest.add(name, queue.consumer(job));
        }
        guest.add("producer", queue.producer(chance, Duration::from_micros(200)));
        let ticking = chance.clone();
        guest.add("ticks", every(Duration::from_millis(1), move |_| ticking.strike(20))).after::<&str>([]);
        guest.add("flaky", Flaky::new(chance)).after(["ticks"]).restart(again());
        guest.add("session", session(chance)).after(["ticks"]).restart(again());
        (guest, Remains { queue, gone })
    }

    pub fn add(&mut self, name: &str, service: impl Service) -> &mut hosted::ServiceOptions {
        self.host.add(name, Kept { service, _alive: self.alive.clone() })
    }

    /// Adds a service that does not react to its stop request until it is released.
    pub fn add_unresponsive(&mut self) -> StopSource {
        let release = StopSource::new();
        let released = release.token();
        let unresponsive = worker(move |_| {
            released.wait();
            Ok(())
        });
        self.add("unresponsive", unresponsive);
        release
    }
}

/// A service whose drop can be observed.
struct Kept<S> {
    service: S,
    _alive: Sender<Infallible>,
}

impl<S: Service> Service for Kept<S> {
    fn start(&mut self, ctx: &Context) -> Result {
        self.service.start(ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.service.run(ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.service.stop(ctx)
    }
}
