//! Requesting the stop of one service. Its waiters are woken here and now; its callbacks may do anything, so they run on a
//! pool of threads, and are scheduled once everybody has been flagged.

use super::validate::HostedService;
use crate::diagnose::ThreadProbe;
use crate::registry::{CallbackThread, Registry};
use crate::report::{Cause, Phase, ServiceError};
use crate::stop::{PendingCallbacks, callback_threads};
use crate::util::sync::{Arc, now};
use crate::util::text::callback_thread_name;
use std::time::Instant;

/// The callbacks of a service whose stop has been requested. The board counts them already.
#[must_use = "the callbacks run only when they are scheduled"]
pub(super) struct Waiting {
    board: Arc<Registry>,
    index: usize,
    service: Arc<str>,
    callbacks: PendingCallbacks,
}

/// Requests the stop of `entry`, the row `index` of `board`, which should have ended by `deadline`, and is waited for until
/// `end`.
pub(super) fn ask(
    board: &Arc<Registry>,
    index: usize,
    entry: &HostedService,
    deadline: Option<Instant>,
    end: Option<Instant>,
) -> Option<Waiting> {
    let retired = board.asked(index, deadline, end);
    let callbacks =
        Some(retired.and(entry.source.signal().unwrap_or_default())).filter(|callbacks| !callbacks.is_empty())?;
    let service = board.update(|inner| {
        inner.outstanding += 1;
        let slot = &mut inner.slots[index];
        slot.callbacks = Some(CallbackThread { thread: None, since: now() });
        slot.name.clone()
    });
    Some(Waiting { board: board.clone(), index, service, callbacks })
}

impl Waiting {
    /// Runs them on a thread that the board knows meanwhile, so that a callback that blocks is named. If no thread can be
    /// created, they run here: a callback that blocks then blocks the stop, which is better than not to call it at all.
    pub(super) fn schedule(self) {
        callback_threads::run(Box::new(|| self.run()));
    }

    fn run(self) {
        let Waiting { board, index, service, callbacks } = self;
        let name = callback_thread_name(&service);
        callback_threads::named(&name, || {
            board.calling_back(index, ThreadProbe::this());
            let error = |text| ServiceError::new(service.clone(), Phase::Callback, Cause::Panicked(text));
            callbacks.run(|text| board.failed(index, &error(text)));
            board.called_back(index);
        });
    }
}
