//! Requesting a stop: `StopSource`.

use super::node::{Link, Node, Parents};
use super::request::{PendingCallbacks, request_stop};
use super::token::StopToken;
use crate::util::sync::{Arc, Ordering};
use crate::util::time::deadline;
use std::fmt;
use std::time::{Duration, Instant};

/// Requests a stop that its [tokens](StopToken) observe.
///
/// Clones are the same source. Dropping a source does not request a stop. C++: `stop_source`. .NET:
/// `CancellationTokenSource`.
///
/// ```
/// use hosted::StopSource;
///
/// let stop = StopSource::new();
/// let token = stop.token();
/// assert!(!token.stop_requested());
/// assert!(stop.request_stop());  // this call made the request
/// assert!(!stop.request_stop()); // an earlier call had made it
/// assert!(token.stop_requested());
/// ```
#[doc(alias("CancellationTokenSource", "stop_source"))]
pub struct StopSource {
    node: Arc<Node>,
}

impl StopSource {
    /// Creates a source without parents.
    #[inline]
    pub fn new() -> Self {
        StopSource { node: Node::new(Parents::None) }
    }

    /// Creates a source that stops when one of `parents` stops. It never stops its parents.
    ///
    /// If a parent is already stopped, the new source is stopped too. A dropped source leaves nothing in its parents.
    /// .NET: `CreateLinkedTokenSource`.
    ///
    /// ```
    /// use hosted::StopSource;
    ///
    /// let (application, request) = (StopSource::new(), StopSource::new());
    /// let either = StopSource::linked([&application.token(), &request.token()]);
    /// request.request_stop();
    /// assert!(either.stop_requested());
    /// assert!(!application.stop_requested());
    /// ```
    #[doc(alias = "CreateLinkedTokenSource")]
    pub fn linked<'a>(parents: impl IntoIterator<Item = &'a StopToken>) -> Self {
        let mut links = parents.into_iter().filter_map(|token| token.node().cloned()).map(Link::to);
        let parents = match (links.next(), links.next()) {
            (None, _) => Parents::None,
            (Some(link), None) => Parents::One(link),
            (Some(first), Some(second)) => Parents::Many([first, second].into_iter().chain(links).collect()),
        };
        StopSource { node: Node::new(parents) }
    }

    /// Returns a token that observes this source.
    #[inline]
    pub fn token(&self) -> StopToken {
        StopToken::of(self.node.clone())
    }

    /// Requests the stop. Returns `true` for the one call that made the request.
    ///
    /// The callbacks run on the calling thread before this function returns. A callback may do anything, even request
    /// the same stop again.
    #[doc(alias = "Cancel")]
    #[inline]
    pub fn request_stop(&self) -> bool {
        let Some(callbacks) = self.signal() else { return false };
        if !callbacks.is_empty() {
            callbacks.run_and_log();
        }
        true
    }

    /// Requests the stop when `delay` has passed, on a thread of the library.
    ///
    /// A later call replaces the delay, counted from that call; `Duration::MAX` cancels it. If the last clone of this
    /// source is dropped first, nothing happens. PendingCallbacks run on a thread of the library. .NET: `CancelAfter`.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::time::Duration;
    ///
    /// let limit = StopSource::new();
    /// limit.request_stop_after(Duration::from_millis(10));
    /// limit.token().wait();
    /// ```
    ///
    /// # Panics
    ///
    /// The first call of a process starts the one thread that keeps these times, and panics where the operating
    /// system has no thread to give.
    #[doc(alias = "CancelAfter")]
    pub fn request_stop_after(&self, delay: Duration) {
        if !self.node.stop_at(deadline(delay)) {
            self.node.stop_at(None);
            panic!("cannot create the thread behind request_stop_after"); // as documented
        }
    }

    /// The same, at an instant. If the timer's thread cannot be created, a host that stops keeps the time for it.
    pub(crate) fn request_stop_at(&self, at: Option<Instant>) {
        self.node.stop_at(at);
    }

    /// Returns `true` if a stop was requested. One atomic load.
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.node.stopped()
    }

    /// Sets the flag and wakes the waiters. Returns the callbacks, which the caller must run, or `None` if the stop was
    /// requested before.
    pub(crate) fn signal(&self) -> Option<PendingCallbacks> {
        request_stop(&self.node)
    }

    /// Returns `true` if a token, a callback or a linked source is left that could observe the stop of this source.
    pub(crate) fn has_observers(&self) -> bool {
        Arc::strong_count(&self.node) > 1
    }
}

impl Default for StopSource {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for StopSource {
    fn clone(&self) -> Self {
        // Relaxed: as in `Arc::clone`, the source that is cloned keeps the counter above zero.
        self.node.sources.fetch_add(1, Ordering::Relaxed);
        StopSource { node: self.node.clone() }
    }
}

impl Drop for StopSource {
    #[inline]
    fn drop(&mut self) {
        // Only a source can create another one, so the last source can tell without a write that it is the last.
        let sources = &self.node.sources;
        if sources.load(Ordering::Acquire) == 1 || sources.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.node.abandon();
        }
    }
}

impl fmt::Debug for StopSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopSource").field("stop_requested", &self.stop_requested()).finish_non_exhaustive()
    }
}
