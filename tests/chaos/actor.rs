//! A service that does what its plan says, and notes each step.

use super::schedule::{Act, How, Kind, Plan};
use super::world::{Job, STACK, Step, World};
use crossbeam_channel::{never, select};
use hosted::{
    Context, Host, OnCompletion, OnFailure, PushError, Result, Service, StopCallback, StopSource, StopToken, every,
    group,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// Adds the services of `plans` to `host`.
pub fn add_all(host: &mut Host, plans: &Arc<Vec<Plan>>, world: &Arc<World>, prefix: &str) {
    for (place, plan) in plans.iter().enumerate() {
        let actor = Actor::new(plans.clone(), place, world, prefix);
        let options = host.add(plan.name.clone(), actor);
        if let Some(after) = &plan.after {
            options.after(after.iter().map(|&place| &plans[place].name));
        }
        if plan.ignored {
            options.on_failure(OnFailure::Ignore);
        }
        if plan.completion_stops {
            options.on_completion(OnCompletion::StopHost);
        }
        if let Some((again, limit)) = plan.restart {
            let wait = if world.clock.is_some() { Duration::from_secs(60) } else { Duration::from_micros(200) };
            options.restart(again.policy().give_up_after(limit).backoff(Duration::ZERO..=wait));
        }
        plan.start_timeout.map(|limit| options.start_timeout(limit));
        plan.stop_timeout.map(|limit| options.stop_timeout(limit));
        // On a manual clock, somebody advances it by an hour now and then.
        let shortest = if world.clock.is_some() { Duration::from_secs(1_800) } else { Duration::from_millis(1) };
        plan.stalls_after.map(|times| options.stalls_after(times * shortest));
        options.stack_size(STACK);
    }
}

struct Actor {
    plans: Arc<Vec<Plan>>,
    place: usize,
    world: Arc<World>,
    inner: Option<Box<dyn Service>>,
    /// How often `start`, `run` and `stop` were called.
    calls: [usize; 3],
    asked: Option<StopCallback>,
    /// What its drop goes by, once it was started.
    ctx: Option<Context>,
    gone: Gone,
}

/// Notes that everything else of the actor has been dropped: it is its last field.
struct Gone {
    name: Arc<str>,
    value: u64,
    world: Arc<World>,
}

impl Drop for Gone {
    fn drop(&mut self) {
        self.world.note(&self.name, self.value, Step::Dropped);
    }
}

impl Actor {
    fn new(plans: Arc<Vec<Plan>>, place: usize, world: &Arc<World>, prefix: &str) -> Self {
        let (value, plan) = (world.next_value(), &plans[place]);
        let name = format!("{prefix}{}", plan.name).into();
        let inner = inside(plan, &name, world, value);
        let gone = Gone { name, value, world: world.clone() };
        Actor { world: world.clone(), inner, calls: [0; 3], asked: None, ctx: None, gone, plans, place }
    }

    fn plan(&self) -> &Plan {
        &self.plans[self.place]
    }

    fn note(&self, step: Step) {
        self.world.note(&self.gone.name, self.gone.value, step);
    }

    /// The next act of `acts`, of which one call after the other takes one.
    fn next(&mut self, call: usize, acts: fn(&Plan) -> &[Act]) -> Act {
        self.calls[call] += 1;
        let acts = acts(self.plan());
        acts[(self.calls[call] - 1) % acts.len()]
    }

    fn perform(&self, act: Act, ctx: &Context) -> Result {
        self.world.perform(act, self.gone.value, ctx)
    }

    fn listen(&mut self, ctx: &Context) {
        let (world, name, value) = (self.world.clone(), self.gone.name.clone(), self.gone.value);
        self.asked = self.plan().listens.then(|| ctx.on_stop(move || world.note(&name, value, Step::Asked)));
    }

    /// What is between `start` and `stop` where no ready-made service is.
    fn body(&self, ctx: &Context) -> Result {
        match &self.plan().kind {
            Kind::Waits(how) => wait(*how, ctx),
            Kind::CallsBack(act) => {
                let (act, world, value, its) = (*act, self.world.clone(), self.gone.value, ctx.clone());
                let here = thread::current().id();
                let _guard = ctx.on_stop(move || {
                    // Registered after the stop it runs here: then its panic is logged, and is nobody's failure.
                    if act != Act::Panic && act != Act::Error || thread::current().id() != here {
                        let act = if act == Act::Error { Act::Panic } else { act };
                        world.perform(act, value, &its).expect("only errors that were noted as panics");
                    }
                });
                wait(How::Wait, ctx)
            }
            Kind::Produces(items) => {
                self.produce(*items, ctx)?;
                wait(How::Wait, ctx)
            }
            _ => Ok(()),
        }
    }

    fn produce(&self, items: usize, ctx: &Context) -> Result {
        for _ in 0..items {
            let (item, queue) = (self.world.next_item(), &self.world.queue);
            let pushed = match item % 3 {
                0 => queue.push_until(Job::of(item), ctx.stop_token()),
                1 => queue.try_push(Job::of(item)),
                _ => queue.push_timeout(Job::of(item), Duration::from_millis(1)),
            };
            match pushed {
                Ok(()) => self.world.accepted.lock().push(item),
                Err(PushError::Stopped(_)) => ctx.check()?,
                Err(_) => {}
            }
        }
        Ok(())
    }
}

fn wait(how: How, ctx: &Context) -> Result {
    match how {
        How::Wait => ctx.wait(),
        How::Sleep => ctx.stop_token().sleep(Duration::MAX)?,
        How::Receive => ctx.recv(&never::<()>())?,
        How::Done => select! { recv(ctx.done()) -> _ => {} },
        How::Linked => StopSource::linked([ctx.stop_token()]).token().wait(),
        How::Together => thread::scope(|threads| (0..3).for_each(|_| drop(threads.spawn(|| ctx.wait())))),
    }
    Ok(())
}

/// The ready-made service that an actor is around.
fn inside(plan: &Plan, name: &Arc<str>, world: &Arc<World>, value: u64) -> Option<Box<dyn Service>> {
    let (world, mut calls) = (world.clone(), 0);
    match &plan.kind {
        Kind::Ticks { acts, fail_fast } => {
            let acts = acts.clone();
            let period = if world.clock.is_some() { Duration::from_secs(60) } else { Duration::from_millis(1) };
            let ticks = every(period, move |ctx| {
                calls += 1;
                world.perform(acts[calls % acts.len()], value, ctx)
            });
            let ticks = ticks.immediately();
            Some(Box::new(if *fail_fast { ticks.fail_fast() } else { ticks }))
        }
        Kind::Consumes(acts) => {
            let (acts, queue) = (acts.clone(), world.queue.clone());
            Some(Box::new(queue.consumer(move |job: Job, ctx| {
                calls += 1;
                world.handled.lock().push(job.item);
                world.perform(acts[calls % acts.len()], value, ctx)
            })))
        }
        Kind::Group(children) => {
            let (children, prefix) = (children.clone(), format!("{name}/"));
            Some(Box::new(group(move |host| {
                add_all(host, &children, &world, &prefix);
                Ok(())
            })))
        }
        _ => None,
    }
}

impl Service for Actor {
    fn attach(&mut self, retired: &StopToken) {
        if let Some(inner) = &mut self.inner {
            inner.attach(retired);
        }
        if matches!(self.plan().kind, Kind::Consumes(_)) {
            self.world.has_consumer.store(true, Ordering::SeqCst);
        }
    }

    fn start(&mut self, ctx: &Context) -> Result {
        self.note(Step::Start);
        self.ctx = Some(ctx.clone());
        self.listen(ctx);
        let act = self.next(0, |plan| &plan.start);
        self.perform(act, ctx)?;
        if let Some(inner) = &mut self.inner {
            inner.start(ctx)?;
        }
        self.note(Step::Ready);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.note(Step::Run);
        let act = self.next(1, |plan| &plan.run);
        self.perform(act, ctx)?;
        match &mut self.inner {
            Some(inner) => inner.run(ctx),
            None => self.body(ctx),
        }
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.note(Step::Stop);
        if let Some(inner) = &mut self.inner {
            inner.stop(ctx)?;
        }
        let act = self.next(2, |plan| &plan.stop);
        self.perform(act, ctx)
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        drop(self.asked.take());
        let Some(ctx) = self.ctx.take() else { return };
        let act = self.plan().drop;
        // A drop has no errors.
        self.perform(if act == Act::Error { Act::Fine } else { act }, &ctx).expect("an inner host that ends well");
    }
}
