//! The errors of waits that were ended by a stop request.

use std::error::Error;
use std::fmt;

/// The error of a wait that was ended by a stop request.
///
/// A service that received a stop request returns this error through `?`. An error from `start` or `run` is a clean stop if
/// both conditions hold:
///
/// - The stop of this service was requested.
/// - A `Stopped` is among the first 99 errors of the [source](Error::source) chain. [`is_stop_error`](crate::is_stop_error)
///   checks this.
///
/// .NET: `OperationCanceledException`.
///
/// ```
/// use hosted::{Context, Result, StopSource};
///
/// fn work(ctx: &Context) -> Result {
///     loop {
///         ctx.check()?; // returns Err(Stopped) once a stop is requested
///     }
/// }
///
/// let stop = StopSource::new();
/// stop.request_stop();
/// let error = work(&Context::new("work", stop.token())).unwrap_err();
/// assert!(error.is::<hosted::Stopped>());
/// ```
#[doc(alias = "OperationCanceledException")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stop requested")
    }
}

impl Error for Stopped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&StopMarker)
    }
}

/// The reason why [`StopToken::recv`](crate::StopToken::recv) or [`Queue::recv`](crate::Queue::recv) returned no message.
///
/// ```
/// use hosted::{RecvError, StopSource};
///
/// let (sender, orders) = crossbeam_channel::unbounded::<&str>();
/// drop(sender);
/// assert_eq!(StopSource::new().token().recv(&orders), Err(RecvError::Disconnected));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// A stop was requested. A service that returns this error stops cleanly, as with [`Stopped`].
    Stopped,
    /// The channel is empty, and its last sender was dropped. Or the queue is empty and closed.
    Disconnected,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Stopped => "stop requested while waiting for a message",
            RecvError::Disconnected => "the channel is empty and its last sender was dropped",
        })
    }
}

impl Error for RecvError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            RecvError::Stopped => Some(&StopMarker),
            RecvError::Disconnected => None,
        }
    }
}

impl From<Stopped> for RecvError {
    fn from(_: Stopped) -> Self {
        RecvError::Stopped
    }
}

/// The innermost source of every error that means "stop requested". It is a source of `Stopped`, because the `source` of a
/// wrapper such as `io::Error` skips the error that it wraps.
#[derive(Debug)]
pub(crate) struct StopMarker;

impl fmt::Display for StopMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stop was requested")
    }
}

impl Error for StopMarker {}
