//! Calls of repeated stop callbacks: the board knows of each while it lasts, so that one which blocks is named.

use super::{Board, CallbackThread};
use crate::blocked::Thread;
use crate::sync::{Caller, caller, now};

/// A call on this thread, until it is dropped.
pub(crate) struct Repeated<'b> {
    board: &'b Board,
    index: usize,
    caller: Caller,
}

impl Board {
    /// A repeated stop callback of the service is about to be called, on this thread.
    pub(crate) fn repeats(&self, index: usize) -> Repeated<'_> {
        let (caller, callback) = (caller(), CallbackThread { thread: Thread::this(), since: now() });
        self.update(|inner| inner.slots[index].repeated.push((caller, callback)));
        Repeated { board: self, index, caller }
    }
}

impl Drop for Repeated<'_> {
    fn drop(&mut self) {
        self.board.update(|inner| inner.slots[self.index].repeated.retain(|(caller, _)| *caller != self.caller));
    }
}
