//! Ctrl-c, SIGTERM and SIGHUP as a stop token. Nothing else in the crate touches signals.
//!
//! The handler only takes the sources that were not told yet off the list and hands them to a dispatcher thread. The
//! dispatcher flags them and lets their callbacks run elsewhere: no callback can swallow the second signal.

use crate::stop::{Callbacks, StopSource, StopToken};
use crate::sync::{Mutex, thread};
use crossbeam_channel::{Sender, unbounded};
use std::io;
use std::time::Duration;

/// Where the shell's convention puts the end by a second ctrl-c: 128 + SIGINT.
const TOLD_TWICE: i32 = 130;

/// How long the dispatcher waits before it tells anyone. `timeout(1)` and some shells signal a process and then its
/// group: what comes before anybody could have seen the first signal is that signal.
const SETTLING: Duration = Duration::from_millis(1);

/// Who is to be told of the next signal.
static UNTOLD: Mutex<Untold> = Mutex::new(Untold { sources: Vec::new(), settling: false });

struct Untold {
    sources: Vec<StopSource>,
    /// A signal has come that nobody has been told of yet.
    settling: bool,
}

/// Ctrl-c, SIGTERM and SIGHUP as a token: the first of them stops every token that this function has returned.
///
/// A second signal, or one when no such token is alive, ends the process at once with exit code 130. What comes within
/// the millisecond before the first is told is one with it: `timeout(1)` sends two. The handler is installed by the
/// first call and stays for the life of the process.
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
/// When the handler cannot be installed, mostly because the program has one of its own through the crate `ctrlc`:
/// then call [`StopSource::request_stop`] or [`HostHandle::request_stop`](crate::HostHandle::request_stop) from it.
#[doc(alias("SIGTERM", "SIGINT", "ConsoleLifetime", "UseConsoleLifetime"))]
pub fn ctrl_c() -> io::Result<StopToken> {
    let source = StopSource::new();
    let token = source.token();
    let mut untold = UNTOLD.lock();
    untold.sources.retain(StopSource::watched);
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
            let callbacks: Vec<Callbacks> = sources.iter().filter_map(StopSource::signal).collect();
            callbacks.into_iter().for_each(Callbacks::run_elsewhere);
        }
    })?;
    // Not `try_set_handler`: that fails where a signal is merely ignored, as in a script's background job.
    ctrlc::set_handler(move || on_signal(&sender)).map_err(to_io)?;
    *installed = true;
    Ok(())
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
    sources.retain(StopSource::watched);
    if sources.is_empty() || dispatcher.send(sources).is_err() {
        std::process::exit(TOLD_TWICE);
    }
}

fn to_io(error: ctrlc::Error) -> io::Error {
    let busy = matches!(error, ctrlc::Error::MultipleHandlers);
    let kind = if busy { io::ErrorKind::AlreadyExists } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}
