//! `StopCallback`: the guard of a registered stop callback.

use super::callback_threads::log_panic;
use super::node::{Callback, Node};
use super::slab::NONE;
use crate::util::panic::catch_panic;
use crate::util::sync::Arc;
use std::fmt;

/// Keeps a stop callback registered. Dropping this guard unregisters the callback.
///
/// Created by [`StopToken::on_stop`](crate::StopToken::on_stop). When the drop returns, the callback has run or never will:
///
/// - If another thread is running the callback, the drop waits until the callback returns.
/// - If the callback itself drops its guard, the drop does not wait.
///
/// Two callbacks of different sources that each drop the guard of the other wait for each other forever. C++'s
/// `stop_callback` and .NET have the same restriction. [`unregister`](Self::unregister) never waits.
///
/// ```
/// use hosted::StopSource;
///
/// let stop = StopSource::new();
/// let guard = stop.token().on_stop(|| println!("never printed"));
/// drop(guard);
/// stop.request_stop();
/// ```
#[must_use = "dropping it unregisters the callback at once"]
#[doc(alias("CancellationTokenRegistration", "stop_callback"))]
pub struct StopCallback {
    /// `None` if the token is never stopped.
    node: Option<Arc<Node>>,
    /// The slot of the callback in the node. `NONE` if the callback was registered after the stop, and has run already.
    slot: u32,
}

impl StopCallback {
    /// Registers `callback` with `node`. If the stop was requested before, the callback runs at once on this thread.
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

    /// Unregisters the callback without waiting. Returns `true` if the callback has not run and never will.
    ///
    /// Returns `false` if the callback has run, or is running now.
    ///
    /// ```
    /// use hosted::StopSource;
    ///
    /// let stop = StopSource::new();
    /// assert!(stop.token().on_stop(|| ()).unregister());
    /// let guard = stop.token().on_stop(|| ());
    /// stop.request_stop();
    /// assert!(!guard.unregister());
    /// ```
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
