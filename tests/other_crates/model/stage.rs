//! Runs the real host beside the model: each command goes to both, and afterwards they must agree.

use super::commands::{Answer, Call, Command, Notice, ServiceRow, Spec, Timeout, Verdict, name};
use super::owner::{self, LONG};
use super::puppet::Puppet;
use super::state::Model;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use hosted::testing::ManualClock;
use hosted::{Host, HostHandle, ServiceState};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// An action of the owner. The host is `None` after its drop.
type Act = Box<dyn FnOnce(&mut Option<Host>) -> Answer + Send>;
/// An `Err` describes how model and host differ.
type Agreement = Result<(), String>;

/// Whether a case has failed. The later cases only shrink it, and must not wait a minute for each missing notice.
static SHRINKING: AtomicBool = AtomicBool::new(false);

/// The time to wait for a notice, so that a hang becomes a failure.
fn limit() -> Duration {
    Duration::from_secs(if SHRINKING.load(Ordering::Relaxed) { 1 } else { 60 })
}

/// Performs all commands. Then lets every call return, and stops and drops the host.
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
    /// One sender for each service.
    orders: Vec<Sender<Verdict>>,
    notices: Receiver<Notice>,
    notify: Sender<Notice>,
    dropped: bool,
}

impl Stage {
    fn new() -> Self {
        // Use a clock that stands still, so that no run is long enough for the failures before it to be forgotten.
        let mut host = Host::with_clock(ManualClock::new().clock());
        host.stop_timeout(LONG);
        let handle = host.handle();
        let (owner, acts) = unbounded::<Act>();
        let (notify, notices) = unbounded();
        let returned = notify.clone();
        thread::spawn(move || {
            let mut host = Some(host);
            for act in acts {
                _ = returned.send(Notice::Returned(act(&mut host))); // after a failed test nobody receives it
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

    /// Lets every call of a service return, and then the call of the owner.
    fn all_return(&mut self) -> Agreement {
        while !self.model.alive().is_empty() {
            self.step(&Command::Return(0, Ok(())))?;
        }
        if self.model.call.is_some() { self.step(&Command::RequestStop) } else { Ok(()) }
    }

    /// Performs the command on host and model if it is possible now, and compares them.
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
                let Some(&position) = alive.get(which % alive.len().max(1)) else { return Ok(()) };
                self.model.returned(position, *verdict);
                _ = self.orders[position].send(*verdict); // if the service has exited, the next comparison fails
            }
            Command::Add(_) | Command::Call(_) => return Ok(()),
        }
        self.notices().and_then(|()| self.compare()).map_err(|difference| format!("after {command:?}: {difference}"))
    }

    /// Waits until all expected notices have arrived. Any other notice is an error.
    fn notices(&mut self) -> Agreement {
        while !self.model.expected.is_empty() {
            let expected = &mut self.model.expected;
            let came =
                self.notices.recv_timeout(limit()).map_err(|_| format!("these notices never arrived: {expected:?}"))?;
            let index = expected.iter().position(|notice| *notice == came);
            expected.remove(index.ok_or_else(|| format!("received {came:?} instead of one of {expected:?}"))?);
        }
        Ok(())
    }

    /// Waits until no service shows `Hung` that has exited in the model. The registry records the end of a thread a
    /// moment after the last notice, and sends no event.
    fn threads_are_gone(&self) {
        let began = Instant::now();
        let ended = |position| self.model.state_of(position).is_some_and(|state| state != ServiceState::Hung);
        let still =
            || self.handle.services().iter().enumerate().any(|(at, row)| row.state == ServiceState::Hung && ended(at));
        while still() && began.elapsed() < limit() {
            thread::yield_now();
        }
    }

    fn compare(&self) -> Agreement {
        self.threads_are_gone();
        let state = self.handle.state();
        same("the state of the host", state, self.model.state().unwrap_or(state))?;
        same("stop requested", self.handle.stopping().stop_requested(), self.model.reason.is_some())?;
        let (real, model) = (self.handle.services(), &self.model.services);
        same("number of services", real.len(), model.len())?;
        for (position, (real, model)) in real.iter().zip(model).enumerate() {
            same("name", &*real.name, &*name(position))?;
            let ServiceRow { restarts, errors, .. } = model.row();
            same("restarts and errors", (real.restarts, real.errors), (restarts, errors))?;
            same("whether there is a last error", real.last_error.is_some(), errors > 0)?;
            let state = self.model.state_of(position).unwrap_or(real.state);
            same(&real.name, real.state, state)?;
        }
        Ok(())
    }

    /// Checks that all threads have exited without an unexpected notice.
    fn nothing_more(self) -> Agreement {
        let Stage { owner, orders, notify, notices, .. } = self;
        drop((owner, orders, notify));
        match notices.recv_timeout(limit()) {
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            more => Err(format!("after the drop of the host, received {more:?}")),
        }
    }

    fn add(&mut self, spec: &Spec) {
        let position = self.orders.len();
        let back = |distance: &usize| (position > 0).then(|| distance % position);
        let after: Option<Vec<usize>> = spec.after.as_ref().map(|after| after.iter().filter_map(back).collect());
        self.model.add(spec, &after.clone().unwrap_or_else(|| (0..position).collect()));
        let (order, orders) = unbounded();
        self.orders.push(order);
        let (puppet, spec) = (Puppet::new(position, orders, self.notify.clone()), spec.clone());
        self.act_as_owner(move |host| owner::add(host, position, puppet, &spec, after));
    }

    fn call(&mut self, call: Call) {
        self.dropped = matches!(call, Call::Drop(_));
        self.model.call(call);
        self.act_as_owner(move |host| owner::call(host, call));
    }

    fn act_as_owner(&self, act: impl FnOnce(&mut Option<Host>) -> Answer + Send + 'static) {
        _ = self.owner.send(Box::new(act)); // if the thread of the owner is gone, the notice is missed
    }
}

fn same<T: PartialEq + Debug>(what: &str, real: T, model: T) -> Agreement {
    if real == model { Ok(()) } else { Err(format!("{what}: {real:?} in the host, {model:?} in the model")) }
}
