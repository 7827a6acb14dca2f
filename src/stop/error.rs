//! The errors of waits that a stop request ended.

use std::error::Error;
use std::fmt;

/// The error of a wait that was ended by a stop request.
///
/// Returned through `?` it is how a service ends on request: an error from `start` or `run` with a `Stopped`
/// anywhere in its [source](Error::source) chain (of which 100 errors are looked at) is a clean end, provided that
/// this very service was asked to stop. .NET's word is `OperationCanceledException`.
///
/// ```
/// use hosted::{Context, Result, StopSource};
///
/// fn work(ctx: &Context) -> Result {
///     loop {
///         ctx.check()?; // ends here, as Err(Stopped), when a stop was requested
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
        f.write_str("stopped")
    }
}

impl Error for Stopped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&StopMarker)
    }
}

/// Why [`StopToken::recv`](crate::StopToken::recv) returned no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// A stop was requested. Like [`Stopped`], it ends a service cleanly.
    Stopped,
    /// The channel is empty and its last sender is gone.
    Disconnected,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Stopped => "stopped while waiting for a message",
            RecvError::Disconnected => "the channel is empty and its last sender is gone",
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

/// The innermost source of every error that means "stopped". It sits below `Stopped`, because wrappers such as
/// `io::Error` show only what is below the error they carry.
#[derive(Debug)]
pub(crate) struct StopMarker;

impl fmt::Display for StopMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a stop was requested")
    }
}

impl Error for StopMarker {}
