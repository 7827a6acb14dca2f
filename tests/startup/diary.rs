//! Records which services were started and stopped, in order.

use crate::support::{by_phase, idle_phase};
use hosted::{Context, Phase, Result, Service};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub(crate) struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    pub(crate) fn note(&self, phase: Phase, ctx: &Context) {
        self.0.lock().unwrap().push(format!("{phase} {}", ctx.name()));
    }

    pub(crate) fn pages(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// A service that records its start, which returns the result of `started`, and its stop.
    pub(crate) fn keeper(&self, started: fn(&Context) -> Result) -> impl Service {
        let diary = self.clone();
        by_phase(move |phase, ctx| {
            if phase == Phase::Run {
                return idle_phase(phase, ctx);
            }
            diary.note(phase, ctx);
            if phase == Phase::Start { started(ctx) } else { Ok(()) }
        })
    }
}
