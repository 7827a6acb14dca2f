//! `StopSource`: requests a stop.

use super::node::{Link, Node, Parents};
use super::request::{PendingCallbacks, request_stop};
use super::token::StopToken;
use crate::util::sync::{Arc, Ordering};
use crate::util::time::deadline;
use std::fmt;
use std::time::{Duration, Instant};

/// Requests a stop that its [tokens](StopToken) observe.
///
/// Clones share one stop request. Dropping a source does not request a stop. C++: `stop_source`. .NET:
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

    /// Creates a source that is also stopped by a stop of any of `parents`.
    ///
    /// The new source never stops its parents. If a parent is already stopped, the new source is stopped from the beginning.
    /// When the new source and its tokens are dropped, they leave no memory behind in the parents.
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

    /// Requests the stop. Returns `true` if this call made the request, and `false` if an earlier call did.
    ///
    /// The callbacks run on the calling thread before this function returns. A panic of a callback is logged. A callback may
    /// do anything; it may even request the same stop again.
    #[doc(alias = "Cancel")]
    #[inline]
    pub fn request_stop(&self) -> bool {
        let Some(callbacks) = self.signal() else { return false };
        if !callbacks.is_empty() {
            callbacks.run_and_log();
        }
        true
    }

    /// Requests the stop when `delay` has passed.
    ///
    /// A later call replaces the delay, counted from the later call. `Duration::MAX` cancels the delay. If the last clone of
    /// this source is dropped first, no stop is requested. The callbacks run on a thread of this library. .NET:
    /// `CancelAfter`.
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
    /// Panics if the timer thread cannot be created. One such thread serves the whole process, and the first call creates it.
    #[doc(alias = "CancelAfter")]
    pub fn request_stop_after(&self, delay: Duration) {
        if !self.node.stop_at(deadline(delay)) {
            self.node.stop_at(None);
            panic!("cannot start the timer thread of `request_stop_after`"); // as documented
        }
    }

    /// Requests the stop at `at`. If the timer thread cannot be created, a host that stops requests it: see `timer::tend`.
    pub(crate) fn request_stop_at(&self, at: Option<Instant>) {
        self.node.stop_at(at);
    }

    /// Returns `true` if a stop was requested. This takes one atomic load.
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.node.stopped()
    }

    /// Requests the stop and wakes all waiters. Returns the callbacks, which the caller must run, or `None` if the stop was
    /// requested before.
    pub(crate) fn signal(&self) -> Option<PendingCallbacks> {
        request_stop(&self.node)
    }

    /// Returns `true` if a token, a callback or a linked source still observes this source.
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
        // Only a source can create another source. So if the counter is 1, no other thread can change it, and a load is
        // enough.
        let sources = &self.node.sources;
        if sources.load(Ordering::Acquire) == 1 || sources.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.node.cancel_schedule();
        }
    }
}

impl fmt::Debug for StopSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopSource").field("stop_requested", &self.stop_requested()).finish_non_exhaustive()
    }
}
