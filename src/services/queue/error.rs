//! `PushError`: the reason why a queue did not accept an item.

use crate::stop::StopMarker;
use std::error::Error;
use std::fmt;

/// The reason why a [`Queue`](crate::Queue) did not accept an item. The error contains the item.
///
/// ```
/// use hosted::{PushError, Queue};
///
/// let orders = Queue::bounded(1);
/// orders.push("tea").unwrap();
/// assert_eq!(orders.try_push("cake"), Err(PushError::Full("cake")));
/// orders.close();
/// assert_eq!(orders.push("cake").unwrap_err().into_inner(), "cake");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// The queue is full, and the time limit has passed.
    Full(T),
    /// The queue is closed. It will never accept an item again.
    Closed(T),
    /// A stop was requested. A service that returns this error stops cleanly, as with [`Stopped`](crate::Stopped).
    Stopped(T),
}

impl<T> PushError<T> {
    /// Returns the item that was not accepted.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) | PushError::Stopped(item) => item,
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "Full(..)",
            PushError::Closed(_) => "Closed(..)",
            PushError::Stopped(_) => "Stopped(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "the queue is full",
            PushError::Closed(_) => {
                "the queue is closed because its last consumer is stopping; add producers after their consumers"
            }
            PushError::Stopped(_) => "stop requested while waiting for room in the queue",
        })
    }
}

impl<T> Error for PushError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PushError::Stopped(_) => Some(&StopMarker),
            PushError::Full(_) | PushError::Closed(_) => None,
        }
    }
}
