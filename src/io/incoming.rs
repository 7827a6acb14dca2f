//! Connections as they come, until the stop, and patience where none can be accepted for now.

use super::accept::Listener;
use super::ready::is_stopped;
use crate::stop::StopToken;
use crate::util::log::log_line;
use crate::util::sync::now;
use crate::util::text::HumanDuration;
use crate::util::time::since;
use log::Level;
use rustix::io::Errno;
use std::io;
use std::time::{Duration, Instant};

/// The pause after the first error, doubled after each further one until `LONGEST`. The listener stays ready while its
/// clients wait, so without a pause `accept` would fail tens of thousands of times a second. A second is soon enough for
/// the clients, who connect without being accepted.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(1);

impl StopToken {
    /// Returns connections as they come. The iterator ends at the stop.
    ///
    /// If the process or the system has no descriptor or no memory left (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`), the
    /// iterator waits and tries again: after 10 ms, doubling to 1 s. It logs one WARN when that begins, and one INFO when
    /// it can accept again. The clients wait in the listener's queue meanwhile. A stop ends the pause at once.
    ///
    /// Any other error is an item, and the next item may be a connection again. After the first of several errors in a row,
    /// the iterator pauses before each, by the same times. So do not leave the loop with `?` if clients are being served:
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
    ///             // `?` would leave the loop, and wait for clients that wait for a stop.
    ///             _ = client.and_then(spawn).map_err(|error| ctx.report_error(error));
    ///         }
    ///     });
    ///     Ok(())
    /// }
    ///
    /// fn talk(client: TcpStream, ctx: &Context) {
    ///     // until the client leaves, or the stop
    /// }
    /// ```
    pub fn incoming<L: Listener>(&self, listener: &L) -> impl Iterator<Item = io::Result<L::Stream>> {
        let warn = |error: &io::Error| log(Level::Warn, format_args!("{}", cannot_accept(error)));
        self.incoming_as(listener, warn, |outage| log(Level::Info, format_args!("{}", accepts_again(outage))))
    }

    /// The same. `begins` is called when no connection can be accepted for now, `over` when one was accepted again.
    pub(super) fn incoming_as<L: Listener>(
        &self,
        listener: &L,
        begins: impl Fn(&io::Error),
        over: impl Fn(Duration),
    ) -> impl Iterator<Item = io::Result<L::Stream>> {
        let mut patience = Patience { pause: None, outage: None, begins, over };
        std::iter::from_fn(move || {
            loop {
                let error = match self.accept(listener) {
                    Ok((stream, _)) => {
                        patience.end();
                        return Some(Ok(stream));
                    }
                    Err(error) if is_stopped(&error) => return None,
                    Err(error) => error,
                };
                let is_shortage = is_shortage(&error);
                if self.wait_timeout(patience.pause_after(&error, is_shortage)) {
                    return None;
                }
                if !is_shortage {
                    return Some(Err(error));
                }
            }
        })
    }
}

/// How long to wait before `accept` is called again.
struct Patience<B, O> {
    /// The last one; `None` after a success.
    pause: Option<Duration>,
    /// Since when no connection can be accepted for now.
    outage: Option<Instant>,
    begins: B,
    over: O,
}

impl<B: Fn(&io::Error), O: Fn(Duration)> Patience<B, O> {
    fn pause_after(&mut self, error: &io::Error, is_shortage: bool) -> Duration {
        if is_shortage && self.outage.is_none() {
            (self.begins)(error);
            self.outage = Some(now());
        }
        let first = if is_shortage { FIRST } else { Duration::ZERO };
        *self.pause.insert(self.pause.map_or(first, |pause| (pause * 2).clamp(FIRST, LONGEST)))
    }

    fn end(&mut self) {
        self.pause = None;
        if let Some(begun) = self.outage.take() {
            (self.over)(since(begun));
        }
    }
}

/// Whether the error is about this process or this system, and about this moment: not about the listener or a client.
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
    fn pauses_double_up_to_a_second_and_a_connection_ends_them() {
        let (begun, over) = (Cell::new(0), Cell::new(0));
        let mut patience = Patience {
            pause: None,
            outage: None,
            begins: |_: &io::Error| begun.set(begun.get() + 1),
            over: |_| over.set(over.get() + 1),
        };
        let (shortage, other) = (io::Error::from(Errno::MFILE), io::Error::from(Errno::INVAL));
        let pauses = |patience: &mut Patience<_, _>, error| {
            [(); 9].map(|()| patience.pause_after(error, is_shortage(error)).as_millis())
        };
        for round in 1..=2 {
            assert_eq!(pauses(&mut patience, &shortage), [10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
            patience.end();
            assert_eq!((begun.get(), over.get()), (round, round));
            assert_eq!(pauses(&mut patience, &other), [0, 10, 20, 40, 80, 160, 320, 640, 1_000]);
            patience.end();
            assert_eq!((begun.get(), over.get()), (round, round), "only a shortage is logged");
        }
    }
}
