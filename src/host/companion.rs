//! Threads that accompany a host and tell another system about it, such as systemd. They see of the host what every user sees.

use super::Host;
use crate::util::sync::thread;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::io;
use std::time::Duration;

/// How long the end of a shutdown waits at most for a companion.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(100);

/// A thread that lives as long as its host: when the host is dropped, the channel of the thread disconnects.
pub(crate) struct Companion {
    name: &'static str,
    flushes: Sender<Flush>,
}

/// A request of the host to report its present state now, because the process may exit soon. The companion answers when it has
/// done so.
pub(crate) type Flush = Sender<()>;

impl Companion {
    /// Creates the thread. `run` must return when its channel disconnects.
    pub(crate) fn spawn(name: &'static str, run: impl FnOnce(Receiver<Flush>) + Send + 'static) -> io::Result<Self> {
        let (flushes, requests) = unbounded();
        thread::Builder::new().name(name.to_owned()).spawn(move || run(requests))?;
        Ok(Companion { name, flushes })
    }

    fn flush(&self) {
        let (answer, answered) = bounded(1);
        if self.flushes.send(answer).is_ok() {
            _ = answered.recv_timeout(FLUSH_TIMEOUT); // a companion that is slow must not delay the stop
        }
    }
}

impl Host {
    /// Keeps the companion until the host is dropped.
    pub(crate) fn accompany(&mut self, companion: Companion) {
        self.companions.push(companion);
    }

    pub(crate) fn has_companion(&self, name: &str) -> bool {
        self.companions.iter().any(|companion| companion.name == name)
    }

    /// The host has stopped: gives the companions a moment to report that.
    pub(super) fn flush_companions(&self) {
        self.companions.iter().for_each(Companion::flush);
    }
}
