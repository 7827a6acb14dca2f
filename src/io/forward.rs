//! The calls of this folder as methods of [`Context`], which use the token of the service.

use super::accept::Listener;
use super::incoming::{accepts_again, cannot_accept};
use super::interruptible::Interruptible;
use crate::service::Context;
#[cfg(target_os = "linux")]
use crate::stop::StopToken;
use crate::util::log::log_line;
#[cfg(target_os = "linux")]
use crate::util::time::deadline;
use log::Level;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

impl Context {
    /// Accepts a connection, or returns when the stop of this service is requested. See
    /// [`StopToken::accept`](crate::StopToken::accept). Feature `io`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StopToken::accept`](crate::StopToken::accept). A service that returns the error of a stop through
    /// `?` stops cleanly.
    pub fn accept<L: Listener>(&self, listener: &L) -> io::Result<(L::Stream, L::Address)> {
        self.stop_token().accept(listener)
    }

    /// Returns an iterator over incoming connections, which ends when the stop of this service is requested. See
    /// [`StopToken::incoming`](crate::StopToken::incoming). Feature `io`.
    ///
    /// If the process has no descriptor or memory left to accept a connection, this is an error of the service, as with
    /// [`report_error`](Self::report_error). It is reported once per outage.
    pub fn incoming<L: Listener>(&self, listener: &L) -> impl Iterator<Item = io::Result<L::Stream>> {
        self.incoming_clients(listener).map(|client| client.map(|(stream, _)| stream))
    }

    /// Iterates as [`incoming`](Self::incoming) does, over streams and the addresses of clients.
    pub(crate) fn incoming_clients<L: Listener>(
        &self,
        listener: &L,
    ) -> impl Iterator<Item = io::Result<(L::Stream, L::Address)>> {
        let outage_ended = |outage| {
            let text = accepts_again(outage);
            log_line(Level::Info, "hosted::service", format_args!("service `{}` {text}", self.name()));
        };
        self.stop_token().incoming_as(listener, |error| self.report_error(cannot_accept(error)), outage_ended)
    }

    /// Connects to `address`, or returns when the stop of this service is requested. See
    /// [`StopToken::connect`](crate::StopToken::connect). Feature `io`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StopToken::connect`](crate::StopToken::connect). A service that returns the error of a stop
    /// through `?` stops cleanly.
    pub fn connect(&self, address: SocketAddr, timeout: impl Into<Option<Duration>>) -> io::Result<TcpStream> {
        self.stop_token().connect(address, timeout)
    }

    /// Wraps a stream so that its reads end when the stop of this service is requested. See
    /// [`StopToken::interruptible`](crate::StopToken::interruptible). Feature `io`.
    pub fn interruptible<S>(&self, stream: S) -> Interruptible<S> {
        self.stop_token().interruptible(stream)
    }

    /// Waits until `fd` is readable, or the stop of this service is requested. See
    /// [`StopToken::wait_readable`](crate::StopToken::wait_readable). Feature `io`.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StopToken::wait_readable`](crate::StopToken::wait_readable). A service that returns the error of
    /// a stop through `?` stops cleanly.
    pub fn wait_readable(&self, fd: &impl AsFd, timeout: impl Into<Option<Duration>>) -> io::Result<bool> {
        self.stop_token().wait_readable(fd, timeout)
    }

    /// Waits for a child process, and ends it when the stop of this service is requested. See
    /// [`StopToken::wait_child`](crate::StopToken::wait_child). Feature `io`, Linux only.
    ///
    /// The grace ends at the [`stop_deadline`](Self::stop_deadline) of the service, if that is sooner, even if the deadline
    /// moves closer meanwhile.
    ///
    /// In a job of a queue, use the context of the job. It is stopped shortly before the deadline, so the child has some time
    /// to exit on its own.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`StopToken::wait_child`](crate::StopToken::wait_child).
    #[cfg(target_os = "linux")]
    pub fn wait_child(&self, child: &mut std::process::Child, grace: Duration) -> io::Result<std::process::ExitStatus> {
        // Created at the stop, and kept until the child has exited.
        let mut at_stop = None;
        let grace_end = || {
            let (end, watch) = at_stop.get_or_insert_with(|| (deadline(grace), self.watch_deadline()));
            let (deadline, moved) = watch.as_ref().map_or_else(|| (None, StopToken::never()), |watch| watch.get());
            (end.iter().copied().chain(deadline).min(), moved)
        };
        self.stop_token().wait_child_until(child, grace_end)
    }
}
