//! Why an item did not get into a queue.

use crate::stop::StopMarker;
use std::error::Error;
use std::fmt;

/// Why an item did not get into a [`Queue`](crate::Queue). The item comes back with it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no room, and the time to wait for some is over.
    Full(T),
    /// The queue is closed, for ever.
    Closed(T),
    /// A stop was requested. Like [`Stopped`](crate::Stopped), it ends a service cleanly.
    Stopped(T),
}

impl<T> PushError<T> {
    /// The item.
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
                "the queue is closed: its last consumer was asked to stop (a producer added after its consumer stops first)"
            }
            PushError::Stopped(_) => "stopped while pushing into a queue",
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
