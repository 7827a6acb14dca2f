//! `ctrl_c`: ctrl-c, SIGTERM and SIGHUP as a stop token. No other file of the crate handles signals.
//!
//! The handler runs on the thread of the crate `ctrlc`. It only takes the pending sources from a list and sends them to a
//! dispatcher thread. The dispatcher requests their stops, and their callbacks run on the pool of callback threads. So a
//! callback that blocks cannot prevent the second signal from ending the process. Before the process exits because of a
//! second signal, one log line names the services that are still running.

use crate::stop::{PendingCallbacks, StopSource, StopToken};
use crate::util::log::log_line;
use crate::util::sync::{Arc, Mutex, thread};
use crossbeam_channel::{Sender, bounded, unbounded};
use log::Level;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// The exit code after a second signal. Shells use 128 + SIGINT for a process that ctrl-c has ended.
const SECOND_SIGNAL_EXIT_CODE: i32 = 130;

/// How long the dispatcher waits before it requests the stops. `timeout(1)` and some shells send a signal to a process and
/// then to its group. Signals within this time count as one.
const COALESCE_WINDOW: Duration = Duration::from_millis(1);

/// How long the last log line may take. The logger is user code, and may wait for a lock that is never released.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(100);

/// The sources that the next signal stops.
static PENDING: Mutex<Pending> = Mutex::new(Pending { sources: Vec::new(), coalescing: false });

struct Pending {
    sources: Vec<PendingSource>,
    /// A signal has come, and the dispatcher has not requested the stops yet. Further signals count as the same signal.
    coalescing: bool,
}

struct PendingSource {
    source: StopSource,
    /// The signal after that one stops this source.
    then: Option<StopSource>,
}

/// Returns the names of the services of a host that are still running, or `None` if there are none.
type DescribeRunning = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// The started hosts by number, and the number of the next host.
static HOSTS: Mutex<(BTreeMap<u64, DescribeRunning>, u64)> = Mutex::new((BTreeMap::new(), 0));

/// Keeps a host registered for the last log line, until this guard is dropped. Created by [`register_host`].
pub(crate) struct HostRegistration(u64);

/// Registers a host for the log line that is written before the process exits because of a second signal.
pub(crate) fn register_host(running: impl Fn() -> Option<String> + Send + Sync + 'static) -> HostRegistration {
    let mut hosts = HOSTS.lock();
    let number = hosts.1;
    hosts.1 += 1;
    hosts.0.insert(number, Arc::new(running));
    HostRegistration(number)
}

impl Drop for HostRegistration {
    fn drop(&mut self) {
        let running = HOSTS.lock().0.remove(&self.0);
        drop(running); // after the lock was released, because it may own the last reference to the host's state
    }
}

/// Returns a token that is stopped by ctrl-c, SIGTERM or SIGHUP. The first signal stops every token that this function has
/// returned.
///
/// A second signal ends the process at once with exit code 130. So does a first signal when no such token is alive. Before
/// the exit, a warning in the log names the services that are still running. The logger gets 100 ms for it, so a logger that
/// blocks cannot keep the process alive. Signals within one millisecond count as one signal, because `timeout(1)` sends two.
///
/// The first call installs the handler, which stays for the lifetime of the process. If the program has installed another
/// handler without the crate `ctrlc`, that handler is replaced. On Linux, a warning in the log reports this.
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
/// Returns an error if the handler cannot be installed:
///
/// - The program has its own handler, installed through the crate `ctrlc`. Let that handler call
///   [`StopSource::request_stop`] or [`HostHandle::request_stop`](crate::HostHandle::request_stop) instead.
/// - A thread for the handler cannot be created.
#[doc(alias("SIGTERM", "SIGINT", "ConsoleLifetime", "UseConsoleLifetime"))]
pub fn ctrl_c() -> io::Result<StopToken> {
    let source = StopSource::new();
    let token = source.token();
    let mut pending = PENDING.lock();
    pending.sources.retain(|pending| pending.source.has_observers());
    pending.sources.push(PendingSource { source, then: None });
    drop(pending);
    // Install the handler last. A signal then finds this source, and does not end the process.
    install()?;
    Ok(token)
}

/// Returns a token that is stopped by the next signal after the one that stops `first`, which [`ctrl_c`] has returned. As long
/// as the token is alive, that signal does not end the process.
pub(crate) fn next_signal_after(first: &StopToken) -> StopToken {
    let source = StopSource::new();
    let token = source.token();
    let mut pending = PENDING.lock();
    // If `first` has been stopped, or is being stopped, its source is no longer pending.
    match pending.sources.iter_mut().find(|pending| pending.source.token().is_same_as(first)) {
        Some(pending) => pending.then = Some(source),
        None => pending.sources.push(PendingSource { source, then: None }),
    }
    token
}

/// Installs the handler and starts the dispatcher, unless an earlier call has done so.
fn install() -> io::Result<()> {
    static INSTALLED: Mutex<bool> = Mutex::new(false);
    let mut installed = INSTALLED.lock();
    if *installed {
        return Ok(());
    }
    let (sender, signalled) = unbounded::<Vec<StopSource>>();
    // Start the dispatcher first. If the handler cannot be installed, the dispatcher ends, because its channel disconnects.
    // A handler without a dispatcher would swallow signals.
    thread::Builder::new().name("hosted-signals".to_owned()).spawn(move || {
        for sources in signalled {
            thread::sleep(COALESCE_WINDOW);
            PENDING.lock().coalescing = false;
            // Stop every token before any callback runs. If no thread can be created, the callbacks run here and may block.
            let callbacks: Vec<PendingCallbacks> = sources.iter().filter_map(StopSource::signal).collect();
            callbacks.into_iter().for_each(PendingCallbacks::run_on_thread);
        }
    })?;
    let reserve = Reserve::new()?;
    let replaced = caught_signals();
    set_handler(&sender)
        .or_else(|error| match error {
            // `ctrlc` has installed its handler, but could not create its thread. Ending the reserve makes room for it.
            ctrlc::Error::System(_) => {
                reserve.end();
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
            "replaced the program's own handler of {signals}; to keep it, use `run_until` or `HostHandle::request_stop`"
        );
        log_line(Level::Warn, "hosted::host", text);
    }
    Ok(())
}

/// Installs the handler. `try_set_handler` is not used, because it fails if a signal is ignored, as in the background job of a
/// script.
fn set_handler(dispatcher: &Sender<Vec<StopSource>>) -> Result<(), ctrlc::Error> {
    let dispatcher = dispatcher.clone();
    ctrlc::set_handler(move || on_signal(&dispatcher))
}

/// A thread that only reserves a place for another thread.
///
/// `ctrlc` installs its handler before it creates its thread. If the thread cannot be created, the handler stays installed and
/// swallows all signals. Ending the reserved thread makes room for a second attempt.
struct Reserve {
    thread: thread::JoinHandle<()>,
    /// The thread ends when this sender is dropped.
    hold: Sender<()>,
}

impl Reserve {
    fn new() -> io::Result<Self> {
        let (hold, held) = bounded::<()>(0);
        let wait = move || {
            _ = held.recv(); // returns when `hold` is dropped; nothing is ever sent
        };
        let thread = thread::Builder::new().name("hosted-reserve".to_owned()).spawn(wait)?;
        Ok(Reserve { thread, hold })
    }

    /// Ends the thread, and waits for its end.
    fn end(self) {
        drop(self.hold);
        _ = self.thread.join(); // the thread cannot panic
    }
}

/// Returns the signals that `ctrlc` handles and that have another handler already.
#[cfg(target_os = "linux")]
fn caught_signals() -> Vec<&'static str> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let handled = [("SIGHUP", 1), ("SIGINT", 2), ("SIGTERM", 15)];
    handled.into_iter().filter(|(_, number)| mask & 1 << (number - 1) != 0).map(|(name, _)| name).collect()
}

#[cfg(not(target_os = "linux"))]
fn caught_signals() -> Vec<&'static str> {
    Vec::new() // other systems need a system call for this, which is not available without `unsafe`
}

/// Handles a signal. Runs on the thread of `ctrlc`, which a panic would end forever, so nothing in here may panic.
fn on_signal(dispatcher: &Sender<Vec<StopSource>>) {
    let mut pending = PENDING.lock();
    if pending.coalescing {
        return;
    }
    let (mut sources, mut next) = (Vec::new(), Vec::new());
    for PendingSource { source, then } in pending.sources.drain(..) {
        sources.push(source);
        next.extend(then.map(|source| PendingSource { source, then: None }));
    }
    pending.sources = next;
    pending.coalescing = true;
    drop(pending);
    sources.retain(StopSource::has_observers);
    if sources.is_empty() || dispatcher.send(sources).is_err() {
        log_running_services();
        std::process::exit(SECOND_SIGNAL_EXIT_CODE);
    }
}

/// Writes one log line before the process exits. Another thread writes it, because the logger may block.
fn log_running_services() {
    let (written, done) = bounded(1);
    let write = move || {
        let hosts: Vec<DescribeRunning> = HOSTS.lock().0.values().cloned().collect();
        let running: Vec<String> = hosts.iter().filter_map(|running| running()).collect();
        let running = if running.is_empty() { "no service".to_owned() } else { running.join(", ") };
        let text = format_args!(
            "exiting with code {SECOND_SIGNAL_EXIT_CODE} because of another ctrl-c or termination signal; \
             still running: {running}"
        );
        log_line(Level::Warn, "hosted::host", text);
        _ = written.send(()); // fails if the timeout has passed
    };
    // If no thread can be created, the line is not written: on this thread, it could block the exit.
    if thread::Builder::new().name("hosted-last-line".to_owned()).spawn(write).is_ok() {
        _ = done.recv_timeout(LAST_LINE_TIMEOUT);
    }
}

fn to_io(error: ctrlc::Error) -> io::Error {
    let is_taken = matches!(error, ctrlc::Error::MultipleHandlers);
    let kind = if is_taken { io::ErrorKind::AlreadyExists } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}
