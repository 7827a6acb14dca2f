//! Calls of repeated stop callbacks: the board knows of each while it lasts, so that one which blocks is named.

use super::{CallbackThread, Registry};
use crate::diagnose::ThreadProbe;
use crate::util::sync::{Caller, caller, now};

/// A call on this thread, until it is dropped.
pub(crate) struct Repeated<'b> {
    board: &'b Registry,
    index: usize,
    caller: Caller,
}

impl Registry {
    /// A repeated stop callback of the service is about to be called, on this thread.
    pub(crate) fn repeats(&self, index: usize) -> Repeated<'_> {
        let (caller, callback) = (caller(), CallbackThread { thread: ThreadProbe::this(), since: now() });
        self.update(|inner| inner.slots[index].repeated.push((caller, callback)));
        Repeated { board: self, index, caller }
    }
}

impl Drop for Repeated<'_> {
    fn drop(&mut self) {
        self.board.update(|inner| inner.slots[self.index].repeated.retain(|(caller, _)| *caller != self.caller));
    }
}
