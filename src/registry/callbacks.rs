//! Calls of repeated stop callbacks: the board knows of each while it lasts, so that one which blocks is named.

use super::progress::CallbackThread;
use super::{Registry, ServiceId};
use crate::diagnose::ThreadProbe;
use crate::util::sync::{Caller, caller, now};

/// A call on this thread, until it is dropped.
pub(crate) struct RepeatingCall<'b> {
    registry: &'b Registry,
    id: ServiceId,
    caller: Caller,
}

impl Registry {
    /// A repeated stop callback of the service is about to be called, on this thread.
    pub(crate) fn begin_repeating_call(&self, id: ServiceId) -> RepeatingCall<'_> {
        let (caller, callback) = (caller(), CallbackThread { thread: ThreadProbe::this(), since: now() });
        self.update(|state| state.record(id).threads.repeating.push((caller, callback)));
        RepeatingCall { registry: self, id, caller }
    }
}

impl Drop for RepeatingCall<'_> {
    fn drop(&mut self) {
        self.registry
            .update(|state| state.record(self.id).threads.repeating.retain(|(caller, _)| *caller != self.caller));
    }
}
