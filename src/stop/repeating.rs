//! A stop callback that is called again and again, for what may come a moment too early to be heard.

use super::callback::StopCallback;
use super::callback_threads::log_panic;
use super::source::StopSource;
use super::token::StopToken;
use crate::diagnose::{Waits, tidy_thread_name, waiting};
use crate::util::log::log_line;
use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, Mutex, caller, thread};
use log::Level;
use std::time::Duration;
use std::{fmt, io, iter};

/// The longest wait between two calls, unless the first is longer.
const LONGEST: Duration = Duration::from_millis(200);
/// The second wait is no shorter: calls at no interval at all would be one long spin.
const SHORTEST: Duration = Duration::from_millis(1);

impl StopToken {
    /// Calls `f` when a stop is requested, and again, until the returned guard is dropped.
    ///
    /// For interrupts that are lost when they come a moment before the call that they are to interrupt: a database's
    /// cancel, above all. The first call comes with the stop, the second `every` later; the waits double, up to 200 ms
    /// (or `every`, if that is longer). It runs on a thread of its own, which there is from the stop on. A call that
    /// panics is logged, and is the last. If the operating system has no thread to give, the callback is called once, where
    /// other stop callbacks are called, and a warning is logged.
    ///
    /// When the drop of the guard has returned, `f` does not run and never will: so the drop waits for a call under way,
    /// unless it is that call itself that drops it.
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
    pub fn on_stop_repeating(&self, every: Duration, f: impl FnMut() + Send + 'static) -> RepeatingStopCallback {
        self.on_stop_repeating_named("hosted-on-stop".to_owned(), every, f)
    }

    /// The same, on a thread of that name, which has no NUL in it.
    pub(crate) fn on_stop_repeating_named(
        &self,
        name: String,
        every: Duration,
        f: impl FnMut() + Send + 'static,
    ) -> RepeatingStopCallback {
        let (over, caller) = (StopSource::new(), Arc::<Mutex<_>>::default());
        let (token, begun) = (over.token(), caller.clone());
        let kernel_name = name.clone();
        let registered = self.on_stop(move || {
            // Shared with the thread, so that it is still here if there is none.
            let ours = Arc::new(Mutex::new(Some(f)));
            let theirs = ours.clone();
            let calls = move || {
                tidy_thread_name(&kernel_name);
                let f = theirs.lock().take();
                f.into_iter().for_each(|f| repeat(&token, every, f));
            };
            match thread::Builder::new().name(name).spawn(calls) {
                Ok(thread) => *begun.lock() = Some(thread),
                Err(error) => {
                    let f = ours.lock().take();
                    f.into_iter().for_each(|f| call_once(f, &error));
                }
            }
        });
        RepeatingStopCallback { registered: Some(registered), over, caller }
    }
}

/// Calls it here, as any other stop callback, since there is no thread to call it again: late or lost is worse than once.
fn call_once(f: impl FnMut(), error: &io::Error) {
    let text = format_args!("a repeated stop callback is called once: cannot create a thread to repeat it: {error}");
    log_line(Level::Warn, "hosted::service", text);
    if let Err(text) = catch_panic(f) {
        log_panic(&text);
    }
}

fn repeat(over: &StopToken, every: Duration, mut f: impl FnMut()) {
    // As a whole, so that a panic in the drop of what `f` owns is told as well.
    let calls = move || {
        for wait in waits(every) {
            if over.wait_timeout(wait) {
                return;
            }
            f();
        }
    };
    if let Err(text) = catch_panic(calls) {
        log_panic(&text);
    }
}

/// How long to wait before each call.
fn waits(every: Duration) -> impl Iterator<Item = Duration> {
    let longest = LONGEST.max(every);
    let doubled = move |wait: &Duration| Some(wait.saturating_mul(2).clamp(SHORTEST, longest));
    iter::once(Duration::ZERO).chain(iter::successors(Some(every), doubled))
}

/// Keeps a repeated stop callback; dropping it ends it. From [`StopToken::on_stop_repeating`].
#[must_use = "dropping it unregisters the callback at once"]
pub struct RepeatingStopCallback {
    /// `None` once it is being dropped.
    registered: Option<StopCallback>,
    over: StopSource,
    /// The thread that calls, from the stop on.
    caller: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Drop for RepeatingStopCallback {
    fn drop(&mut self) {
        self.over.request_stop();
        // From here on the thread is there or never will be.
        drop(self.registered.take());
        let thread = self.caller.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != caller()) {
            let _waiting = waiting(Waits::Callback, None);
            // It ends with the call under way. A panic in it has been caught.
            _ = thread.join();
        }
    }
}

impl fmt::Debug for RepeatingStopCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepeatingStopCallback").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::waits;
    use std::time::Duration;

    fn in_millis(every: Duration, calls: usize) -> Vec<u128> {
        waits(every).take(calls).map(|wait| wait.as_millis()).collect()
    }

    #[test]
    fn the_first_call_comes_at_once_and_the_waits_double_up_to_200_ms() {
        assert_eq!(in_millis(Duration::from_millis(10), 8), [0, 10, 20, 40, 80, 160, 200, 200]);
    }

    #[test]
    fn waits_that_are_longer_than_200_ms_stay_as_they_are() {
        assert_eq!(in_millis(Duration::from_secs(3), 4), [0, 3_000, 3_000, 3_000]);
        assert_eq!(waits(Duration::MAX).nth(5), Some(Duration::MAX));
    }

    #[test]
    fn no_wait_at_all_soon_becomes_some() {
        assert_eq!(in_millis(Duration::ZERO, 11), [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 200]);
    }
}
