//! A stop callback that is called again and again, for what may come a moment too early to be heard.

use super::request::log_panic;
use super::source::StopSource;
use super::token::{StopCallback, StopToken};
use crate::panic::guarded;
use crate::sync::{Arc, Mutex, caller, thread};
use std::fmt;
use std::time::Duration;

/// The longest wait between two calls, unless the first is longer.
const LONGEST: Duration = Duration::from_millis(200);

impl StopToken {
    /// Calls `f` when a stop is requested, and again, until the returned guard is dropped.
    ///
    /// For interrupts that are lost when they come a moment before the call that they are to interrupt: a database's
    /// cancel, above all. The first call comes with the stop, the second `every` later; the waits double, up to 200 ms
    /// (or `every`, if that is longer). It runs on a thread of its own, which there is from the stop on. A call that
    /// panics is logged, and is the last.
    ///
    /// When the drop of the guard has returned, `f` does not run and never will: so the drop waits for a call under way, but
    /// for one that drops it itself.
    ///
    /// ```
    /// use hosted::StopSource;
    /// use std::sync::mpsc;
    /// use std::time::Duration;
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let stop = StopSource::new();
    /// let cancel = move || _ = sender.send("cancel");
    /// let guard = stop.token().on_stop_repeating(Duration::from_millis(1), cancel);
    /// stop.request_stop();
    /// assert_eq!(receiver.recv(), Ok("cancel"));
    /// assert_eq!(receiver.recv(), Ok("cancel"));
    /// drop(guard);
    /// ```
    pub fn on_stop_repeating(&self, every: Duration, f: impl FnMut() + Send + 'static) -> StopRepeating {
        self.repeat_as("hosted-on-stop", every, f)
    }

    /// The same, on a thread of that name.
    pub(crate) fn repeat_as(&self, name: &str, every: Duration, f: impl FnMut() + Send + 'static) -> StopRepeating {
        let (over, caller) = (StopSource::new(), Arc::<Mutex<_>>::default());
        let (token, begun, name) = (over.token(), caller.clone(), name.to_owned());
        let registered =
            self.on_stop(move || match thread::Builder::new().name(name).spawn(move || repeat(&token, every, f)) {
                Ok(thread) => *begun.lock() = Some(thread),
                Err(error) => log_panic(&format!("no thread is to be had to call it again and again: {error}")),
            });
        StopRepeating { registered: Some(registered), over, caller }
    }
}

fn repeat(over: &StopToken, every: Duration, mut f: impl FnMut()) {
    let mut wait = every;
    while !over.stop_requested() {
        if let Err(text) = guarded(&mut f) {
            return log_panic(&text);
        }
        if over.wait_timeout(wait) {
            return;
        }
        wait = wait.saturating_mul(2).min(LONGEST.max(every));
    }
}

/// Keeps a repeated stop callback; dropping it ends it. From [`StopToken::on_stop_repeating`].
#[must_use = "dropping it unregisters the callback at once"]
pub struct StopRepeating {
    /// `None` once it is being dropped.
    registered: Option<StopCallback>,
    over: StopSource,
    /// The thread that calls, from the stop on.
    caller: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Drop for StopRepeating {
    fn drop(&mut self) {
        self.over.request_stop();
        // From here on the thread is there or never will be.
        drop(self.registered.take());
        let thread = self.caller.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != caller()) {
            // It ends with the call under way. Nothing in it panics: what does is caught.
            _ = thread.join();
        }
    }
}

impl fmt::Debug for StopRepeating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StopRepeating").finish_non_exhaustive()
    }
}
