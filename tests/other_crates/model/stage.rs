//! The real host beside the model: each command goes to both, and after each they must agree.

use super::books::Model;
use super::owner::{self, LONG};
use super::puppet::Puppet;
use super::words::{Answer, Call, Command, Fate, Notice, Spec, Timeout, Verdict, name};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use hosted::testing::ManualClock;
use hosted::{Host, HostHandle, ServiceState};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What the owner does to the host: `None` once it is dropped.
type Act = Box<dyn FnOnce(&mut Option<Host>) -> Answer + Send>;
/// `Err`: where model and host do not agree.
type Agreement = Result<(), String>;

/// A case has failed. The cases after it only look for a shorter one, and must not take a minute for each.
static SHRINKING: AtomicBool = AtomicBool::new(false);

/// How long to wait for what must come: only so that a hang becomes a failure.
fn limit() -> Duration {
    Duration::from_secs(if SHRINKING.load(Ordering::Relaxed) { 1 } else { 60 })
}

/// Performs all of it, then lets every call return and stops and drops the host.
pub fn play(services: &[Spec], commands: &[Command]) -> Agreement {
    let played = Stage::new().play(services, commands);
    if played.is_err() {
        SHRINKING.store(true, Ordering::Relaxed);
    }
    played
}

struct Stage {
    model: Model,
    handle: HostHandle,
    owner: Sender<Act>,
    /// To each service.
    orders: Vec<Sender<Verdict>>,
    notices: Receiver<Notice>,
    notify: Sender<Notice>,
    dropped: bool,
}

impl Stage {
    fn new() -> Self {
        // By a clock that stands still, so that no run is ever long enough for its failures to be forgotten.
        let mut host = Host::with_clock(ManualClock::new().clock());
        host.stop_timeout(LONG);
        let handle = host.handle();
        let (owner, acts) = unbounded::<Act>();
        let (notify, notices) = unbounded();
        let returned = notify.clone();
        thread::spawn(move || {
            let mut host = Some(host);
            for act in acts {
                _ = returned.send(Notice::Returned(act(&mut host))); // nobody listens when the test has failed
            }
        });
        Stage { model: Model::new(), handle, owner, orders: Vec::new(), notices, notify, dropped: false }
    }

    fn play(mut self, services: &[Spec], commands: &[Command]) -> Agreement {
        let added = services.iter().cloned().map(Command::Add);
        for command in added.chain(commands.iter().cloned()) {
            self.step(&command)?;
        }
        self.all_return()?;
        for call in [Call::Stop(Timeout::Long), Call::Drop(Timeout::Long)] {
            self.step(&Command::Call(call))?;
            self.all_return()?;
        }
        self.nothing_more()
    }

    /// Every call of a service returns, and then that of the owner.
    fn all_return(&mut self) -> Agreement {
        while !self.model.alive().is_empty() {
            self.step(&Command::Return(0, Ok(())))?;
        }
        if self.model.call.is_some() { self.step(&Command::RequestStop) } else { Ok(()) }
    }

    /// Performs the command, if it can be, on both, and compares them.
    fn step(&mut self, command: &Command) -> Agreement {
        let owner_is_free = self.model.call.is_none() && !self.dropped;
        match command {
            Command::Add(spec) if owner_is_free => self.add(spec),
            Command::Call(call) if owner_is_free => self.call(*call),
            Command::RequestStop => {
                self.model.request_stop();
                self.handle.request_stop();
            }
            Command::Return(which, verdict) => {
                let alive = self.model.alive();
                let Some(&place) = alive.get(which % alive.len().max(1)) else { return Ok(()) };
                self.model.returned(place, *verdict);
                _ = self.orders[place].send(*verdict); // it listens, or what it does next is not what is expected
            }
            Command::Add(_) | Command::Call(_) => return Ok(()),
        }
        self.notices().and_then(|()| self.compare()).map_err(|difference| format!("after {command:?}: {difference}"))
    }

    /// What must happen has happened, and nothing else, however long that takes.
    fn notices(&mut self) -> Agreement {
        while !self.model.told.is_empty() {
            let told = &mut self.model.told;
            let came = self.notices.recv_timeout(limit()).map_err(|_| format!("these never come: {told:?}"))?;
            let expected = told.iter().position(|notice| *notice == came);
            told.remove(expected.ok_or_else(|| format!("there came {came:?}, and expected were {told:?}"))?);
        }
        Ok(())
    }

    /// A service that was hung shows how it ended when its thread is gone, a moment after its last notice. Nothing tells of that.
    fn threads_are_gone(&self) {
        let began = Instant::now();
        let ended = |place| self.model.state_of(place).is_some_and(|state| state != ServiceState::Hung);
        let still =
            || self.handle.services().iter().enumerate().any(|(at, row)| row.state == ServiceState::Hung && ended(at));
        while still() && began.elapsed() < limit() {
            thread::yield_now();
        }
    }

    fn compare(&self) -> Agreement {
        self.threads_are_gone();
        let state = self.handle.state();
        same("state of the host", state, self.model.state().unwrap_or(state))?;
        same("stop requested", self.handle.stopping().stop_requested(), self.model.reason.is_some())?;
        let (real, model) = (self.handle.services(), &self.model.services);
        same("number of services", real.len(), model.len())?;
        for (place, (real, model)) in real.iter().zip(model).enumerate() {
            same("name", &*real.name, &*name(place))?;
            let Fate { restarts, errors, .. } = model.fate();
            same("restarts and errors", (real.restarts, real.errors), (restarts, errors))?;
            same("that there is a last error", real.last_error.is_some(), errors > 0)?;
            let state = self.model.state_of(place).unwrap_or(real.state);
            same(&real.name, real.state, state)?;
        }
        Ok(())
    }

    /// All threads are gone, and nobody has said anything that was not expected.
    fn nothing_more(self) -> Agreement {
        let Stage { owner, orders, notify, notices, .. } = self;
        drop((owner, orders, notify));
        match notices.recv_timeout(limit()) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            more => Err(format!("at the end, when all was over, there came {more:?}")),
        }
    }

    fn add(&mut self, spec: &Spec) {
        let place = self.orders.len();
        let back = |distance: &usize| (place > 0).then(|| distance % place);
        let after: Option<Vec<usize>> = spec.after.as_ref().map(|after| after.iter().filter_map(back).collect());
        self.model.add(spec, &after.clone().unwrap_or_else(|| (0..place).collect()));
        let (order, orders) = unbounded();
        self.orders.push(order);
        let (puppet, spec) = (Puppet::new(place, orders, self.notify.clone()), spec.clone());
        self.ask(move |host| owner::add(host, place, puppet, &spec, after));
    }

    fn call(&mut self, call: Call) {
        self.dropped = matches!(call, Call::Drop(_));
        self.model.call(call);
        self.ask(move |host| owner::call(host, call));
    }

    fn ask(&self, act: impl FnOnce(&mut Option<Host>) -> Answer + Send + 'static) {
        _ = self.owner.send(Box::new(act)); // it is there, or will be missed
    }
}

fn same<T: PartialEq + Debug>(what: &str, real: T, model: T) -> Agreement {
    if real == model { Ok(()) } else { Err(format!("{what}: the host has {real:?}, the model {model:?}")) }
}
