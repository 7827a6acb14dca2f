//! Ctrl-c, SIGTERM and SIGHUP as a stop token. Nothing else in the crate touches signals.
//!
//! The handler only takes the sources that were not told yet off the list and hands them to a dispatcher thread. The
//! dispatcher flags them and lets their callbacks run elsewhere: no callback can swallow the second signal. Before the
//! process exits by a second signal, one log line names the services that are left.

use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::log::log_line;
use crate::util::sync::{Arc, Mutex, thread};
use crossbeam_channel::{Sender, bounded, unbounded};
use log::Level;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// Where the shell's convention puts the end by a second ctrl-c: 128 + SIGINT.
const TOLD_TWICE: i32 = 130;

/// How long the dispatcher waits before it tells anyone. `timeout(1)` and some shells signal a process and then its
/// group: what comes before anybody could have seen the first signal is that signal.
const SETTLING: Duration = Duration::from_millis(1);

/// How long the last log line may take. The logger is user code, and may wait for a lock that is never unlocked.
const LAST_LINE: Duration = Duration::from_millis(100);

/// Who is to be told of the next signal.
static UNTOLD: Mutex<Untold> = Mutex::new(Untold { sources: Vec::new(), settling: false });

struct Untold {
    sources: Vec<StopSource>,
    /// A signal has come that nobody has been told of yet.
    settling: bool,
}

/// Names the services of a host that are left; `None` if there are none.
type Left = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The hosts that have been started, by their numbers, and the number of the next.
static HOSTS: Mutex<(BTreeMap<u64, Left>, u64)> = Mutex::new((BTreeMap::new(), 0));

/// A host that is named in the last log line, until this is dropped.
pub(crate) struct Watched(u64);

/// `left` names the services of a host when the process exits by a second signal.
pub(crate) fn watch(left: impl Fn() -> Option<String> + Send + Sync + 'static) -> Watched {
    let mut hosts = HOSTS.lock();
    let number = hosts.1;
    hosts.1 += 1;
    hosts.0.insert(number, Arc::new(left));
    Watched(number)
}

impl Drop for Watched {
    fn drop(&mut self) {
        let left = HOSTS.lock().0.remove(&self.0);
        drop(left); // with the lock let go
    }
}

/// Ctrl-c, SIGTERM and SIGHUP as a token: the first of them stops every token that this function has returned.
///
/// A second signal, or one when no such token is alive, ends the process at once with exit code 130. Before that, a
/// warning in the log names the services that are still running. The log line has 100 ms: a logger that blocks cannot keep the
/// process alive. A signal within the millisecond before the first is told is one with it: `timeout(1)` sends two.
///
/// The handler is installed by the first call and stays for the life of the process. If the program had installed a
/// handler of its own without the crate `ctrlc`, that handler is replaced; on Linux, a warning in the log says so.
///
/// ```no_run
/// fn main() -> std::io::Result<()> {
///     let ctrl_c = hosted::ctrl_c()?;
///     ctrl_c.wait();
///     println!("tidying up");
///     Ok(())
/// }
/// ```
///
/// # Errors
///
/// When the handler cannot be installed: no thread can be created for it, or, more often, the program has one of its own through the crate `ctrlc`:
/// then call [`StopSource::request_stop`] or [`HostHandle::request_stop`](crate::HostHandle::request_stop) from it.
#[doc(alias("SIGTERM", "SIGINT", "ConsoleLifetime", "UseConsoleLifetime"))]
pub fn ctrl_c() -> io::Result<StopToken> {
    let source = StopSource::new();
    let token = source.token();
    let mut untold = UNTOLD.lock();
    untold.sources.retain(StopSource::has_observers);
    untold.sources.push(source);
    drop(untold);
    // Last: a signal that finds the handler finds this token too, and does not end the process.
    install()?;
    Ok(token)
}

fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    let (sender, signalled) = unbounded::<Vec<StopSource>>();
    // The dispatcher first: without a handler it ends by itself, a handler without it would have nobody to tell.
    thread::Builder::new().name("hosted-signals".to_owned()).spawn(move || {
        for sources in signalled {
            thread::sleep(SETTLING);
            UNTOLD.lock().settling = false;
            // Every token first: if no thread can be created, callbacks run here, and one may block.
            let callbacks: Vec<PendingCallbacks> = sources.iter().filter_map(StopSource::signal).collect();
            callbacks.into_iter().for_each(PendingCallbacks::run_on_thread);
        }
    })?;
    let reserve = Reserve::new()?;
    let replaced = caught();
    set_handler(&sender)
        .or_else(|error| match error {
            // The signals are caught by now, and nobody is there to hear of them. There is room for a thread, though.
            ctrlc::Error::System(_) => {
                reserve.give_back();
                set_handler(&sender)
            }
            other => Err(other),
        })
        .map_err(to_io)?;
    *installed = true;
    drop(installed); // before the logger is called, which is user code
    if !replaced.is_empty() {
        let signals = replaced.join(", ");
        let text = format_args!(
            "the program's own handler of {signals} is replaced; to keep it, use `run_until` or `HostHandle::request_stop`"
        );
        log_line(Level::Warn, "hosted::host", text);
    }
    Ok(())
}

/// Not `try_set_handler`: that fails where a signal is merely ignored, as in a script's background job.
fn set_handler(dispatcher: &Sender<Vec<StopSource>>) -> Result<(), ctrlc::Error> {
    let dispatcher = dispatcher.clone();
    ctrlc::set_handler(move || on_signal(&dispatcher))
}

/// A thread that only exists. `ctrlc` installs its handler before it creates its thread, and leaves the handler behind if it
/// cannot: from then on signals would be swallowed. With a reserve there is room for that thread.
struct Reserve {
    thread: thread::JoinHandle<()>,
    /// The thread ends when this is dropped.
    hold: Sender<()>,
}

impl Reserve {
    fn new() -> io::Result<Self> {
        let (hold, held) = bounded::<()>(0);
        let wait = move || {
            _ = held.recv(); // until nobody holds it: nothing is ever sent
        };
        let thread = thread::Builder::new().name("hosted-reserve".to_owned()).spawn(wait)?;
        Ok(Reserve { thread, hold })
    }

    /// Returns when the thread is gone.
    fn give_back(self) {
        drop(self.hold);
        _ = self.thread.join(); // it cannot panic
    }
}

/// The signals that `ctrlc` installs a handler for and that have a handler already.
#[cfg(target_os = "linux")]
fn caught() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let ours = [("SIGHUP", 1), ("SIGINT", 2), ("SIGTERM", 15)];
    ours.into_iter().filter(|(_, number)| mask & 1 << (number - 1) != 0).map(|(name, _)| name).collect()
}

#[cfg(not(target_os = "linux"))]
fn caught() -> Vec<&'static str> {
    Vec::new() // nothing tells without a system call of our own
}

/// On the thread of `ctrlc`, which a panic would end for good: nothing here can.
fn on_signal(dispatcher: &Sender<Vec<StopSource>>) {
    let mut untold = UNTOLD.lock();
    if untold.settling {
        return;
    }
    let mut sources = std::mem::take(&mut untold.sources);
    untold.settling = true;
    drop(untold);
    sources.retain(StopSource::has_observers);
    if sources.is_empty() || dispatcher.send(sources).is_err() {
        log_who_is_left();
        std::process::exit(TOLD_TWICE);
    }
}

/// One log line before the process exits, on a thread of its own: the logger may block, and the exit must not.
fn log_who_is_left() {
    let (written, waits) = bounded(1);
    let write = move || {
        let hosts: Vec<Left> = HOSTS.lock().0.values().cloned().collect();
        let left: Vec<String> = hosts.iter().filter_map(|left| left()).collect();
        let left = if left.is_empty() { "no service".to_owned() } else { left.join(", ") };
        let text = format_args!(
            "exiting at once with code {TOLD_TWICE}, because of another ctrl-c or termination signal; still running: {left}"
        );
        log_line(Level::Warn, "hosted::host", text);
        _ = written.send(()); // nobody waits any longer if this took too long
    };
    // Without a thread the line is left out: written here, it could block the exit.
    if thread::Builder::new().name("hosted-last-line".to_owned()).spawn(write).is_ok() {
        _ = waits.recv_timeout(LAST_LINE);
    }
}

fn to_io(error: ctrlc::Error) -> io::Error {
    let busy = matches!(error, ctrlc::Error::MultipleHandlers);
    let kind = if busy { io::ErrorKind::AlreadyExists } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}
