//! Services that record what happens to them.

use crate::report::is_stop_error;
use crate::util::panic::catch_panic;
use crate::{Context, Phase, Result, Service};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};

/// The steps of all services, in the order of the schedule.
///
/// Uses the standard library's lock, which is no step of the schedule. No step happens while the lock is held.
#[derive(Clone, Default)]
pub(super) struct Journal(Arc<Mutex<Vec<(&'static str, Step)>>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// `start` was called.
    Start,
    /// `start` returns `Ok`.
    Ready,
    Run,
    Stop,
    Dropped,
    /// The service has seen its stop request.
    StopRequested,
    /// One of its calls panicked, or returned an error that no stop request caused.
    Failed(Phase),
}

impl Journal {
    pub(super) fn note(&self, name: &'static str, step: Step) {
        self.0.lock().unwrap().push((name, step));
    }

    pub(super) fn all(&self) -> Vec<(&'static str, Step)> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn of(&self, name: &str) -> Vec<Step> {
        self.all().into_iter().filter(|(of, _)| *of == name).map(|(_, step)| step).collect()
    }

    pub(super) fn count(&self, name: &str, step: Step) -> usize {
        self.of(name).into_iter().filter(|&noted| noted == step).count()
    }
}

/// A service that records its steps.
pub(super) struct Noted<S> {
    name: &'static str,
    journal: Journal,
    service: S,
}

impl<S: Service> Noted<S> {
    pub(super) fn new(name: &'static str, journal: &Journal, service: S) -> Self {
        Noted { name, journal: journal.clone(), service }
    }

    fn call(&mut self, phase: Phase, ctx: &Context, f: fn(&mut S, &Context) -> Result) -> Result {
        let done = catch_panic(|| f(&mut self.service, ctx));
        let stop_requested = ctx.stop_requested();
        if stop_requested {
            self.note(Step::StopRequested);
        }
        match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if stop_requested && phase != Phase::Stop && is_stop_error(&*error) => return Err(error),
            _ => self.note(Step::Failed(phase)),
        }
        done.unwrap_or_else(|text| resume_unwind(Box::new(text)))
    }

    fn note(&self, step: Step) {
        self.journal.note(self.name, step);
    }
}

impl<S: Service> Service for Noted<S> {
    fn start(&mut self, ctx: &Context) -> Result {
        self.note(Step::Start);
        self.call(Phase::Start, ctx, S::start)?;
        self.note(Step::Ready);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.note(Step::Run);
        self.call(Phase::Run, ctx, S::run)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.note(Step::Stop);
        self.call(Phase::Stop, ctx, S::stop)
    }
}

impl<S> Drop for Noted<S> {
    fn drop(&mut self) {
        self.journal.note(self.name, Step::Dropped);
    }
}

/// What a call of a probe does.
pub(super) enum Act {
    Return,
    Wait,
    Fail,
    /// Panics without the panic hook, which would print a message in every schedule.
    Panic,
    Do(Box<dyn FnMut(&Context) -> Result + Send>),
}

impl Act {
    pub(super) fn calling(f: impl FnMut(&Context) -> Result + Send + 'static) -> Self {
        Act::Do(Box::new(f))
    }

    fn call(&mut self, ctx: &Context) -> Result {
        match self {
            Act::Return => {}
            Act::Wait => ctx.wait(),
            Act::Fail => return Err("it fails".into()),
            Act::Panic => resume_unwind(Box::new("it panics")),
            Act::Do(f) => return f(ctx),
        }
        Ok(())
    }
}

/// A service made of acts. By default it is ready at once, runs until its stop request, and stops without an error.
pub(super) struct Probe {
    start: Act,
    run: Act,
    stop: Act,
}

impl Probe {
    pub(super) fn new() -> Self {
        Probe { start: Act::Return, run: Act::Wait, stop: Act::Return }
    }

    pub(super) fn start(self, start: Act) -> Self {
        Probe { start, ..self }
    }

    pub(super) fn run(self, run: Act) -> Self {
        Probe { run, ..self }
    }

    pub(super) fn stop(self, stop: Act) -> Self {
        Probe { stop, ..self }
    }
}

impl Service for Probe {
    fn start(&mut self, ctx: &Context) -> Result {
        self.start.call(ctx)
    }

    fn run(&mut self, ctx: &Context) -> Result {
        self.run.call(ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.stop.call(ctx)
    }
}
