//! Signals are not modelled: a host that asks for them is told that there are none.

use crate::stop::StopToken;
use std::io;

pub(crate) struct Watched;

pub(crate) fn watch(_: impl Fn() -> Option<String> + Send + Sync + 'static) -> Watched {
    Watched
}

pub(crate) fn ctrl_c() -> io::Result<StopToken> {
    Err(io::ErrorKind::Unsupported.into())
}
