//! The guard of a registered stop callback: `StopCallback`.

use super::callback_threads::log_panic;
use super::node::{Callback, Node};
use super::slab::NONE;
use crate::util::panic::catch_panic;
use crate::util::sync::Arc;
use std::fmt;

/// Keeps a stop callback registered; dropping it unregisters.
///
/// The drop promises what C++'s `stop_callback` promises: when it returns, the callback has run, or never will. So it
/// waits while *another thread* is running this very callback, and not inside the callback itself. Two callbacks
/// of different sources that each drop the other's guard wait for each other for ever (so they do in C++ and
/// .NET): [`unregister`](Self::unregister) never waits.
#[must_use = "dropping it unregisters the callback at once"]
#[doc(alias("CancellationTokenRegistration", "stop_callback"))]
pub struct StopCallback {
    /// `None`: the token is never stopped.
    node: Option<Arc<Node>>,
    /// Where the node keeps it; `NONE` where it came after the stop and has run: then the guard does nothing but hold
    /// the node.
    slot: u32,
}

impl StopCallback {
    /// Registers `callback` with `node`; calls it at once if the stop was requested before.
    pub(super) fn register(node: Option<&Arc<Node>>, callback: impl FnOnce() -> Callback) -> Self {
        let Some(node) = node else { return StopCallback { node: None, slot: NONE } };
        let slot = node.register(callback()).unwrap_or_else(|callback| {
            if let Err(text) = catch_panic(callback) {
                log_panic(&text);
            }
            NONE
        });
        StopCallback { node: Some(node.clone()), slot }
    }

    /// Unregisters without ever waiting. True: the callback has not run and never will.
    ///
    /// False: it has run, or is running now.
    #[doc(alias = "Unregister")]
    pub fn unregister(mut self) -> bool {
        self.node.take().is_none_or(|node| node.deregister(self.slot))
    }
}

impl Drop for StopCallback {
    #[inline]
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            if !node.deregister(self.slot) {
                node.wait_for_callback(self.slot);
            }
        }
    }
}

impl fmt::Debug for StopCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopCallback").finish_non_exhaustive()
    }
}
