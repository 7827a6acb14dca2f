//! The same on a service's [`Context`], whose token they go by.

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
    /// Accepts a connection, until this service is asked to stop. See [`StopToken::accept`](crate::StopToken::accept).
    ///
    /// # Errors
    ///
    /// As there; the stop's is a clean end through `?`.
    pub fn accept<L: Listener>(&self, listener: &L) -> io::Result<(L::Stream, L::Address)> {
        self.stop_token().accept(listener)
    }

    /// Returns connections as they come, until this service is asked to stop. See
    /// [`StopToken::incoming`](crate::StopToken::incoming).
    ///
    /// If no connection can be accepted for now, that is an error of this service, as by [`report`](Self::report): one each
    /// time that it begins.
    pub fn incoming<L: Listener>(&self, listener: &L) -> impl Iterator<Item = io::Result<L::Stream>> {
        let over = |outage| {
            let text = accepts_again(outage);
            log_line(Level::Info, "hosted::service", format_args!("service `{}` {text}", self.name()));
        };
        self.stop_token().incoming_as(listener, |error| self.report_error(cannot_accept(error)), over)
    }

    /// Connects, until this service is asked to stop. See [`StopToken::connect`](crate::StopToken::connect).
    ///
    /// # Errors
    ///
    /// As there; the stop's is a clean end through `?`.
    pub fn connect(&self, address: SocketAddr, timeout: impl Into<Option<Duration>>) -> io::Result<TcpStream> {
        self.stop_token().connect(address, timeout)
    }

    /// A stream whose reads end when this service is asked to stop. See
    /// [`StopToken::interruptible`](crate::StopToken::interruptible).
    pub fn interruptible<S>(&self, stream: S) -> Interruptible<S> {
        self.stop_token().interruptible(stream)
    }

    /// Waits until `fd` has something to read, or this service is asked to stop. See
    /// [`StopToken::wait_readable`](crate::StopToken::wait_readable).
    ///
    /// # Errors
    ///
    /// As there; the stop's is a clean end through `?`.
    pub fn wait_readable(&self, fd: &impl AsFd, timeout: impl Into<Option<Duration>>) -> io::Result<bool> {
        self.stop_token().wait_readable(fd, timeout)
    }

    /// Waits for a child process, and ends it when this service is asked to stop, by its
    /// [`stop_deadline`](Self::stop_deadline) at the latest: the grace ends then if that is sooner, also if the deadline
    /// moves closer meanwhile. See [`StopToken::wait_child`](crate::StopToken::wait_child).
    ///
    /// In a queue's job, use the job's own context: it is stopped a moment before the deadline, and the child has that
    /// moment to exit on its own.
    ///
    /// # Errors
    ///
    /// As there.
    #[cfg(target_os = "linux")]
    pub fn wait_child(&self, child: &mut std::process::Child, grace: Duration) -> io::Result<std::process::ExitStatus> {
        // Made at the stop, and kept until the child has exited.
        let mut at_stop = None;
        let until = || {
            let (end, watch) = at_stop.get_or_insert_with(|| (deadline(grace), self.watch_deadline()));
            let (deadline, moved) = watch.as_ref().map_or_else(|| (None, StopToken::never()), |watch| watch.get());
            (end.iter().copied().chain(deadline).min(), moved)
        };
        self.stop_token().wait_child_until(child, until)
    }
}
