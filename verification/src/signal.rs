//! Signals are not modelled: installing a handler fails with an error that says so.

use crate::stop::StopToken;
use std::io;

pub(crate) struct HostRegistration;

pub(crate) fn register_host(_: impl Fn() -> Option<String> + Send + Sync + 'static) -> HostRegistration {
    HostRegistration
}

pub(crate) fn ctrl_c() -> io::Result<StopToken> {
    Err(io::ErrorKind::Unsupported.into())
}
