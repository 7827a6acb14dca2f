//! The waits of a service: each ends at its stop request.

use super::context::Context;
use super::ticks::Ticks;
use crate::diagnose::Waits;
use crate::stop::{RecvError, Stopped};
use crossbeam_channel::Receiver;
use std::time::{Duration, Instant};

impl Context {
    /// Blocks until the stop of this service is requested.
    pub fn wait(&self) {
        self.stop_token().wait();
    }

    /// Sleeps for `time`, by the clock of this context. `Duration::MAX` means forever.
    ///
    /// # Errors
    ///
    /// [`Stopped`], as soon as the stop of this service is requested.
    #[doc(alias("Task.Delay", "delay"))]
    pub fn sleep(&self, time: Duration) -> Result<(), Stopped> {
        self.sleep_as(time, Waits::Sleep)
    }

    /// Sleeps like [`sleep`](Self::sleep). Diagnostics show the sleep as `waits`.
    pub(crate) fn sleep_as(&self, time: Duration, waits: Waits) -> Result<(), Stopped> {
        self.clock().sleep(time, self.stop_token(), waits)
    }

    /// Sleeps for `part` of a wait that takes `whole`. Diagnostics show the whole wait as `waits`.
    #[cfg(feature = "cron")]
    pub(crate) fn sleep_part(&self, part: Duration, whole: Duration, waits: Waits) -> Result<(), Stopped> {
        self.clock().sleep_part(part, whole, self.stop_token(), waits)
    }

    /// Sleeps until `instant`, by the clock of this context. Returns at once if `instant` has passed.
    ///
    /// # Errors
    ///
    /// [`Stopped`], as soon as the stop of this service is requested.
    pub fn sleep_until(&self, instant: Instant) -> Result<(), Stopped> {
        self.clock().sleep_until(instant, self.stop_token(), Waits::Sleep)
    }

    /// Receives a message from a channel. Blocks until a message arrives or the stop of this service is requested.
    ///
    /// # Errors
    ///
    /// - [`RecvError::Stopped`] after the stop request, even if messages are left in the channel.
    /// - [`RecvError::Disconnected`] if the channel is empty and its last sender is gone.
    pub fn recv<T>(&self, from: &Receiver<T>) -> Result<T, RecvError> {
        self.stop_token().recv(from)
    }

    /// Returns an iterator that ticks at a fixed rate, by the clock of this context, until the stop request. The first tick
    /// comes after one `period`.
    ///
    /// # Panics
    ///
    /// If `period` is zero.
    pub fn ticks(&self, period: Duration) -> Ticks {
        Ticks::new(self.clock().clone(), self.stop_token().clone(), period)
    }
}
