//! The calls of repeating stop callbacks. The registry has an entry for each call that runs, so that the report can name a call
//! that blocks.

use super::progress::CallbackThread;
use super::{Registry, ServiceId};
use crate::diagnose::ThreadProbe;
use crate::util::sync::{Caller, caller, now};

/// Removes the entry of the call on this thread when it is dropped.
pub(crate) struct RepeatingCall<'b> {
    registry: &'b Registry,
    id: ServiceId,
    caller: Caller,
}

impl Registry {
    /// Records that this thread is about to call a repeating stop callback of the service.
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
