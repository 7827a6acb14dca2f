//! Facts: what the program itself shows on the page.
//!
//! A function of the user computes them. It runs on a thread of its own, never on that of a connection, and only one
//! call at a time. A request waits a short time for a call that began after the request came. If that call takes
//! longer, or panics, the page shows the latest result and what is wrong with the call. So a function that never
//! returns costs a page 250 ms, and probes nothing.

use crate::service::Context;
use crate::util::panic::catch_panic;
use crate::util::sync::thread::{Builder, JoinHandle};
use crate::util::sync::{Arc, Condvar, Mutex, now, wait};
use crate::util::text::{Escaped, HumanDuration};
use crate::util::time::{deadline, since};
use std::time::{Duration, Instant};

/// How long a request waits for the facts: a page still feels immediate.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a stop waits for a call before it reports that the call holds it up.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

pub(super) type FactsFn = dyn Fn() -> Vec<(String, String)> + Send + Sync;

/// The facts under one title.
pub(super) struct Facts {
    title: String,
    f: Box<FactsFn>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// How many calls have begun.
    begun: u64,
    /// When the call that is under way began.
    running_since: Option<Instant>,
    values: Arc<Vec<(String, String)>>,
    values_at: Option<Instant>,
    /// The error of the latest call that has returned.
    failure: Option<String>,
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

impl State {
    fn returned(&self) -> u64 {
        self.begun - u64::from(self.running_since.is_some())
    }
}

/// The facts under one title, as a page shows them.
pub(super) struct FactsView {
    pub(super) title: String,
    pub(super) values: Arc<Vec<(String, String)>>,
    /// Why the values are missing or not current.
    pub(super) problem: Option<String>,
}

impl Facts {
    pub(super) fn new(title: String, f: Box<FactsFn>) -> Self {
        Facts { title, f, state: Mutex::default(), changed: Condvar::new() }
    }

    /// The values of a call that began after this one did, if it returns in time. `ctx` is that of the server.
    pub(super) fn view_all(all: &[Arc<Facts>], ctx: &Context) -> Vec<FactsView> {
        let until = deadline(PATIENCE);
        // Every call begins before the first is waited for.
        let calls: Vec<u64> = all.iter().map(|facts| facts.begin(ctx)).collect();
        all.iter().zip(calls).map(|(facts, call)| facts.view(call, until, ctx)).collect()
    }

    /// Begins a call, unless one is under way. Returns the number of the first call whose result is current.
    fn begin(self: &Arc<Self>, ctx: &Context) -> u64 {
        let mut state = self.state.lock();
        if state.running_since.is_some() || state.closed {
            return state.begun + 1;
        }
        state.begun += 1;
        state.running_since = Some(now());
        let (call, before) = (state.begun, state.thread.take());
        drop(state);
        if let Some(before) = before {
            _ = before.join(); // it has nothing more to do; a panic was caught in it
        }
        let (facts, ctx_of_call) = (self.clone(), ctx.clone());
        let spawned = Builder::new().name(format!("{}:facts", ctx.name())).spawn(move || facts.call(&ctx_of_call));
        match spawned {
            Ok(thread) => self.state.lock().thread = Some(thread),
            Err(error) => self.finish(Err(format!("cannot create a thread: {error}")), ctx),
        }
        call
    }

    fn call(&self, ctx: &Context) {
        let outcome = catch_panic(|| (self.f)());
        self.finish(outcome.map_err(|text| format!("the function panicked: {text}")), ctx);
    }

    fn finish(&self, outcome: Result<Vec<(String, String)>, String>, ctx: &Context) {
        let mut state = self.state.lock();
        state.running_since = None;
        let was_well = state.failure.is_none();
        match outcome {
            Ok(values) => {
                state.values = Arc::new(values);
                state.values_at = Some(now());
                state.failure = None;
            }
            Err(text) => state.failure = Some(text),
        }
        let failure = state.failure.clone().filter(|_| was_well);
        drop(state);
        self.changed.notify_all();
        // Once per row of failures: a page asks again every two seconds.
        if let Some(text) = failure {
            ctx.report_error(format!("no facts `{}`: {text}", Escaped(&self.title)));
        }
    }

    fn view(self: &Arc<Self>, call: u64, until: Option<Instant>, ctx: &Context) -> FactsView {
        let mut state = self.state.lock();
        while state.returned() < call && !state.closed {
            if state.running_since.is_none() {
                // The call that was under way when the request came has returned: it may have been too early.
                drop(state);
                self.begin(ctx);
                state = self.state.lock();
            } else if !wait(&self.changed, &mut state, until) {
                break;
            }
        }
        let problem = if state.returned() >= call {
            state.failure.clone()
        } else {
            let running = state.running_since.map(|began| format!("no answer for {}", HumanDuration(since(began))));
            running.or_else(|| Some("the server is stopping".to_owned()))
        };
        let age = state.values_at.filter(|_| problem.is_some()).map(since);
        let age = age.map(|age| format!("; the values are {} old", HumanDuration(age))).unwrap_or_default();
        let problem = problem.map(|text| format!("{text}{age}"));
        FactsView { title: self.title.clone(), values: state.values.clone(), problem }
    }

    /// Lets every request go that waits for these facts, and allows no more calls.
    pub(super) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Allows calls again, after a restart.
    pub(super) fn open(&self) {
        self.state.lock().closed = false;
    }

    /// Waits until the function has returned, and joins its thread. A call that takes long is reported.
    pub(super) fn join(&self, ctx: &Context) {
        let until = deadline(STOP_PATIENCE);
        let mut state = self.state.lock();
        while state.running_since.is_some() && wait(&self.changed, &mut state, until) {}
        let (thread, held_up) = (state.thread.take(), state.running_since.is_some());
        drop(state);
        if held_up {
            let title = Escaped(&self.title);
            ctx.report_error(format!("the facts `{title}` have not returned; the stop waits for their function"));
        }
        if let Some(thread) = thread {
            _ = thread.join(); // a panic was caught in it
        }
    }
}
