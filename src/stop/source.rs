//! Asking for the stop: `StopSource`.

use super::request::{Callbacks, request_stop};
use super::state::{Link, Node, Parents};
use super::token::StopToken;
use crate::sync::{Arc, Ordering, deadline};
use std::fmt;
use std::time::{Duration, Instant};

/// Asks for a stop that its [tokens](StopToken) see.
///
/// Clones are the same source. A source that is dropped stops nobody. C++'s `stop_source`, .NET's
/// `CancellationTokenSource`.
///
/// ```
/// use hosted::StopSource;
///
/// let stop = StopSource::new();
/// let token = stop.token();
/// assert!(!token.stop_requested());
/// assert!(stop.request_stop());  // this call made the request
/// assert!(!stop.request_stop()); // it had been made
/// assert!(token.stop_requested());
/// ```
#[doc(alias("CancellationTokenSource", "stop_source"))]
pub struct StopSource {
    node: Arc<Node>,
}

impl StopSource {
    /// A source of its own.
    #[inline]
    pub fn new() -> Self {
        StopSource { node: Node::new(Parents::None) }
    }

    /// A source that is stopped when one of `parents` is, and that never stops them.
    ///
    /// Born stopped when a parent is. It costs its parents nothing once it is dropped. .NET:
    /// `CreateLinkedTokenSource`.
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

    /// A token that sees this source.
    #[inline]
    pub fn token(&self) -> StopToken {
        StopToken::of(self.node.clone())
    }

    /// Requests the stop. True for the one call that made the request.
    ///
    /// Callbacks run on this thread before it returns; they may do anything, also request this stop again.
    #[doc(alias = "Cancel")]
    #[inline]
    pub fn request_stop(&self) -> bool {
        let Some(callbacks) = self.signal() else { return false };
        if !callbacks.is_empty() {
            callbacks.run_and_log();
        }
        true
    }

    /// Requests the stop once `delay` has passed, on a thread of the library.
    ///
    /// Called again, it starts anew from now, and `Duration::MAX` takes it back. When the last clone of this source
    /// is dropped before, nothing happens. Callbacks run on a thread of the library's pool for
    /// callbacks. .NET: `CancelAfter`.
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

    /// Whether a stop was requested. One atomic load.
    #[inline]
    pub fn stop_requested(&self) -> bool {
        self.node.stopped()
    }

    /// Flags and wakes; the callbacks are the caller's to run. `None`: the stop had been requested before.
    pub(crate) fn signal(&self) -> Option<Callbacks> {
        request_stop(&self.node)
    }

    /// Whether anything but this source is left that could see its stop: a token, a callback, a linked source.
    pub(crate) fn watched(&self) -> bool {
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
        // Relaxed: like Arc's own count, a clone is made from a source that is alive.
        self.node.sources.fetch_add(1, Ordering::Relaxed);
        StopSource { node: self.node.clone() }
    }
}

impl Drop for StopSource {
    #[inline]
    fn drop(&mut self) {
        // Only a source can make another one: who is the last needs no write to know it.
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
