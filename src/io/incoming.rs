//! `incoming`: an iterator over incoming connections until the stop, which pauses while none can be accepted.

use super::accept::Listener;
use super::ready::is_stopped;
use crate::diagnose::Waits;
use crate::stop::StopToken;
use crate::util::log::log_line;
use crate::util::sync::now;
use crate::util::text::HumanDuration;
use crate::util::time::since;
use log::Level;
use rustix::io::Errno;
use std::io;
use std::time::{Duration, Instant};

/// The pause after the first error. Each further error doubles the pause, up to `MAX_PAUSE`. While clients wait, the listener
/// stays ready, so without a pause `accept` would fail tens of thousands of times a second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest pause. Clients can wait this long, because they connect even if they are not accepted.
const MAX_PAUSE: Duration = Duration::from_secs(1);

impl StopToken {
    /// Returns an iterator over incoming connections. The iterator ends when a stop is requested. Feature `io`.
    ///
    /// If the process or the system has no descriptor or no memory left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), the
    /// iterator pauses and tries again: after 10 ms, and then with doubled pauses up to 1 s. It logs one WARN when the outage
    /// begins, and one INFO when it can accept again. The clients wait in the queue of the listener meanwhile. A stop ends the
    /// pause at once.
    ///
    /// Any other error is an item of the iterator, and the next item may be a connection again. If several errors follow each
    /// other, the iterator pauses before the second and each further one, for the same times. Do not leave the loop with `?`
    /// while clients are being served:
    ///
    /// ```no_run
    /// use hosted::{Context, Result};
    /// use std::net::{TcpListener, TcpStream};
    /// use std::thread::{self, Builder};
    ///
    /// fn serve(listener: &TcpListener, ctx: &Context) -> Result {
    ///     thread::scope(|clients| {
    ///         for client in ctx.incoming(listener) {
    ///             let spawn = |client| Builder::new().spawn_scoped(clients, || talk(client, ctx));
    ///             // `?` would leave the loop, and then wait for clients that wait for a stop.
    ///             _ = client.and_then(spawn).map_err(|error| ctx.report_error(error));
    ///         }
    ///     });
    ///     Ok(())
    /// }
    ///
    /// fn talk(client: TcpStream, ctx: &Context) {
    ///     // serve the client until it disconnects, or a stop is requested
    /// }
    /// ```
    pub fn incoming<L: Listener>(&self, listener: &L) -> impl Iterator<Item = io::Result<L::Stream>> {
        let warn = |error: &io::Error| log(Level::Warn, format_args!("{}", cannot_accept(error)));
        let clients =
            self.incoming_as(listener, warn, |outage| log(Level::Info, format_args!("{}", accepts_again(outage))));
        clients.map(|client| client.map(|(stream, _)| stream))
    }

    /// Iterates as [`incoming`](Self::incoming) does, over streams and addresses. Calls `outage_began` with the error when no connection can be accepted,
    /// and `outage_ended` with the duration of the outage when one was accepted again.
    pub(super) fn incoming_as<L: Listener>(
        &self,
        listener: &L,
        outage_began: impl Fn(&io::Error),
        outage_ended: impl Fn(Duration),
    ) -> impl Iterator<Item = io::Result<(L::Stream, L::Address)>> {
        let mut backoff = AcceptBackoff { pause: None, outage: None, outage_began, outage_ended };
        std::iter::from_fn(move || {
            loop {
                let error = match self.accept(listener) {
                    Ok(client) => {
                        backoff.reset();
                        return Some(Ok(client));
                    }
                    Err(error) if is_stopped(&error) => return None,
                    Err(error) => error,
                };
                let is_shortage = is_shortage(&error);
                if self.sleep_as(backoff.pause_after(&error, is_shortage), Waits::Pause).is_err() {
                    return None;
                }
                if !is_shortage {
                    return Some(Err(error));
                }
            }
        })
    }
}

/// Pauses that double, while something is not available.
#[derive(Default)]
pub(crate) struct Pauses(Option<Duration>);

impl Pauses {
    /// Returns the next pause. The first one is 10 ms, the longest one is 1 s.
    pub(crate) fn next(&mut self) -> Duration {
        *self.0.insert(self.0.map_or(FIRST_PAUSE, |pause| (pause * 2).min(MAX_PAUSE)))
    }

    /// Returns `true` if there has been no pause yet.
    pub(crate) fn is_first(&self) -> bool {
        self.0.is_none()
    }
}

/// The pauses between failing calls of `accept`.
struct AcceptBackoff<B, E> {
    /// The last pause. `None` after a success.
    pause: Option<Duration>,
    /// When the current outage began: a time in which no connection can be accepted.
    outage: Option<Instant>,
    outage_began: B,
    outage_ended: E,
}

impl<B: Fn(&io::Error), E: Fn(Duration)> AcceptBackoff<B, E> {
    /// Returns how long to pause after `error`. Reports the beginning of an outage.
    fn pause_after(&mut self, error: &io::Error, is_shortage: bool) -> Duration {
        if is_shortage && self.outage.is_none() {
            (self.outage_began)(error);
            self.outage = Some(now());
        }
        let first = if is_shortage { FIRST_PAUSE } else { Duration::ZERO };
        *self.pause.insert(self.pause.map_or(first, |pause| (pause * 2).clamp(FIRST_PAUSE, MAX_PAUSE)))
    }

    /// Records a success. Reports the end of an outage.
    fn reset(&mut self) {
        self.pause = None;
        if let Some(began) = self.outage.take() {
            (self.outage_ended)(since(began));
        }
    }
}

/// Returns `true` if a later call of `accept` cannot succeed: the listener was closed, or was shut down.
pub(crate) fn is_broken(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP))
}

/// Returns `true` if the process or the system lacks descriptors or memory. Such an error is temporary, and not a fault of the
/// listener or of a client.
fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

pub(super) fn cannot_accept(error: &io::Error) -> String {
    format!("cannot accept connections for now: {error}; trying again, at least once a second")
}

pub(super) fn accepts_again(outage: Duration) -> String {
    format!("accepts connections again, after {}", HumanDuration(outage))
}

fn log(level: Level, text: std::fmt::Arguments<'_>) {
    log_line(level, "hosted::service", text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn pauses_double_up_to_a_second_and_a_connection_resets_them() {
        let (began, ended) = (Cell::new(0), Cell::new(0));
        let mut backoff = AcceptBackoff {
            pause: None,
            outage: None,
            outage_began: |_: &io::Error| began.set(began.get() + 1),
            outage_ended: |_| ended.set(ended.get() + 1),
        };
        let (shortage, other) = (io::Error::from(Errno::MFILE), io::Error::from(Errno::INVAL));
        let pauses = |backoff: &mut AcceptBackoff<_, _>, error| {
            [(); 9].map(|()| backoff.pause_after(error, is_shortage(error)).as_millis())
        };
        for round in 1..=2 {
            assert_eq!(pauses(&mut backoff, &shortage), [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
            backoff.reset();
            assert_eq!((began.get(), ended.get()), (round, round));
            assert_eq!(pauses(&mut backoff, &other), [0, 10, 20, 40, 80, 160, 320, 640, 1_000]);
            backoff.reset();
            assert_eq!((began.get(), ended.get()), (round, round), "only a shortage is an outage");
        }
    }
}
