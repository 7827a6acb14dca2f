//! Asking one service to stop. Its waiters are woken here and now; its callbacks may do anything, so they run elsewhere.

use super::plan::Entry;
use crate::blocked::{Thread, tidy_thread_name};
use crate::board::{Board, CallbackThread};
use crate::error::{Cause, Phase, ServiceError};
use crate::line;
use crate::stop::Callbacks;
use crate::sync::{Arc, now, thread};
use std::time::Instant;

/// Asks `entry`, the row `index` of `board`, which should have ended by `deadline`.
pub(super) fn ask(board: &Arc<Board>, index: usize, entry: &Entry, deadline: Option<Instant>) {
    let retired = board.asked(index, deadline);
    let callbacks = retired.and(entry.source.signal().unwrap_or_default());
    if !callbacks.is_empty() {
        call_back(board, index, callbacks);
    }
}

/// Runs the callbacks on a thread that the board knows, so that one which blocks is named.
fn call_back(board: &Arc<Board>, index: usize, callbacks: Callbacks) {
    let name = board.update(|inner| {
        inner.outstanding += 1;
        let slot = &mut inner.slots[index];
        slot.callbacks = Some(CallbackThread { thread: None, since: now() });
        slot.name.clone()
    });
    let (theirs, at) = (callbacks.clone(), board.clone());
    let service = name.clone();
    let run = move || {
        tidy_thread_name(&line::on_stop(&service));
        at.calling_back(index, Thread::this());
        run(&at, index, &service, theirs);
    };
    if thread::Builder::new().name(line::on_stop(&name)).spawn(run).is_err() {
        // No thread is to be had: what blocks here blocks the stop, which is better than not to call at all.
        self::run(board, index, &name, callbacks);
    }
}

fn run(board: &Board, index: usize, service: &Arc<str>, callbacks: Callbacks) {
    let error = |text| ServiceError::new(service.clone(), Phase::Callback, Cause::Panicked(text));
    callbacks.run(|text| board.failed(index, &error(text)));
    board.called_back(index);
}
