//! A service that performs the actions of its plan, and writes each step into the journal.

use super::schedule::{Act, How, Kind, Linger, Plan};
use super::world::{Job, STACK, Step, World};
use crossbeam_channel::{never, select};
use hosted::{
    Context, Host, OnCompletion, OnFailure, PushError, Result, Service, StopCallback, StopSource, StopToken, every,
    group,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// Adds the services of `plans` to `host`.
pub fn add_all(host: &mut Host, plans: &Arc<Vec<Plan>>, world: &Arc<World>, prefix: &str) {
    for (position, plan) in plans.iter().enumerate() {
        let actor = Actor::new(plans.clone(), position, world, prefix);
        let options = host.add(plan.name.clone(), actor);
        if let Some(after) = &plan.after {
            options.after(after.iter().map(|&position| &plans[position].name));
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
        options.stack_size(STACK);
    }
}

struct Actor {
    plans: Arc<Vec<Plan>>,
    position: usize,
    world: Arc<World>,
    inner: Option<Box<dyn Service>>,
    /// The number of calls of `start`, `run` and `stop`.
    calls: [usize; 3],
    stop_callback: Option<StopCallback>,
    /// The context of the last start, which the drop uses.
    ctx: Option<Context>,
    gone: Gone,
}

/// Writes `Step::Dropped` into the journal when everything else of the actor has been dropped: it is the last field.
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
    fn new(plans: Arc<Vec<Plan>>, position: usize, world: &Arc<World>, prefix: &str) -> Self {
        let (value, plan) = (world.next_value(), &plans[position]);
        let name = format!("{prefix}{}", plan.name).into();
        let inner = inside(plan, &name, world, value);
        let gone = Gone { name, value, world: world.clone() };
        Actor { world: world.clone(), inner, calls: [0; 3], stop_callback: None, ctx: None, gone, plans, position }
    }

    fn plan(&self) -> &Plan {
        &self.plans[self.position]
    }

    fn note(&self, step: Step) {
        self.world.note(&self.gone.name, self.gone.value, step);
    }

    /// Returns the next action of `acts`: each call takes one, in turn.
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
        self.stop_callback =
            self.plan().listens.then(|| ctx.on_stop(move || world.note(&name, value, Step::StopRequested)));
    }

    /// What a service without a ready-made service inside does between `start` and `stop`.
    fn body(&self, ctx: &Context) -> Result {
        match &self.plan().kind {
            Kind::Waits(how) => wait(*how, ctx),
            Kind::CallsBack(act) => {
                let (act, world, value, its) = (*act, self.world.clone(), self.gone.value, ctx.clone());
                let here = thread::current().id();
                let _guard = ctx.on_stop(move || {
                    // A callback that is registered after the stop request runs here. Its panic is logged, and is not a
                    // failure.
                    if act != Act::Panic && act != Act::Error || thread::current().id() != here {
                        let act = if act == Act::Error { Act::Panic } else { act };
                        world.perform(act, value, &its).expect("an action of a callback returns no error");
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

/// The ready-made service inside an actor.
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
        Kind::Batches { acts, max, linger } => {
            let linger = match linger {
                Linger::Not => Duration::ZERO,
                Linger::Briefly => Duration::from_micros(200),
                Linger::Forever => Duration::MAX,
            };
            let handle = batch_handler(acts.clone(), &world, value);
            Some(Box::new(world.queue.batch_consumer(*max, linger, handle)))
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

/// Handles the first job of a batch, acts, and handles the others. So an act that fails leaves the others in the batch.
///
/// In a stop that has time it handles all before it acts, because a stop waits for the backoff of a failed batch.
fn batch_handler(
    acts: Vec<Act>,
    world: &Arc<World>,
    value: u64,
) -> impl FnMut(&mut Vec<Job>, &Context) -> Result + Send + use<> {
    let (world, mut calls) = (world.clone(), 0);
    move |batch, ctx| {
        calls += 1;
        let patient = ctx.stop_deadline().is_some_and(|deadline| deadline > Instant::now() + Duration::from_secs(1));
        let first = if patient { batch.len() } else { 1 };
        world.handled.lock().extend(batch.drain(..first).map(|job| job.item));
        world.perform(acts[calls % acts.len()], value, ctx)?;
        world.handled.lock().extend(batch.iter().map(|job| job.item));
        Ok(())
    }
}

impl Service for Actor {
    fn attach(&mut self, retired: &StopToken) {
        if let Some(inner) = &mut self.inner {
            inner.attach(retired);
        }
        if self.plan().kind.consumes() {
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
        drop(self.stop_callback.take());
        let Some(ctx) = self.ctx.take() else { return };
        let act = self.plan().drop;
        // A drop cannot return an error.
        self.perform(if act == Act::Error { Act::Fine } else { act }, &ctx)
            .expect("an inner host stops without an error");
    }
}
