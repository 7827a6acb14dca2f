//! `RepeatingStopCallback`: a stop callback that is repeated, for interrupts that have no effect if they come too early.

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

/// The longest interval between two calls, unless the first interval is longer.
const MAX_INTERVAL: Duration = Duration::from_millis(200);
/// The shortest interval once the intervals double. Without a minimum, an interval of zero would be a busy loop.
const MIN_INTERVAL: Duration = Duration::from_millis(1);

impl StopToken {
    /// Calls `f` repeatedly from the stop request on, until the returned guard is dropped.
    ///
    /// Use it for an interrupt that is lost if it comes just before the call that it must interrupt, for example the cancel
    /// request of a database.
    ///
    /// - The first call comes with the stop request, and the second one `every` later. Then the interval doubles, up to
    ///   200 ms, or up to `every` if that is longer.
    /// - The calls run on a dedicated thread, which is created at the stop request.
    /// - A panic of `f` is logged, and ends the repetition.
    /// - If the thread cannot be created, a warning is logged and `f` is called once, as an ordinary stop callback.
    ///
    /// When the drop of the guard returns, `f` is not running and never will. So the drop waits for a call that is in
    /// progress, unless that call itself drops the guard.
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

    /// Calls `f` as [`on_stop_repeating`](Self::on_stop_repeating) does, on a thread with that name. The name must not contain
    /// NUL.
    pub(crate) fn on_stop_repeating_named(
        &self,
        name: String,
        every: Duration,
        f: impl FnMut() + Send + 'static,
    ) -> RepeatingStopCallback {
        let unregistered = StopSource::new();
        let until = unregistered.token();
        let thread = Arc::<Mutex<_>>::default();
        let started = thread.clone();
        let kernel_name = name.clone();
        let callback = self.on_stop(move || {
            // Shared with the new thread, so that `f` is still available here if the thread cannot be created.
            let shared = Arc::new(Mutex::new(Some(f)));
            let shared_with_thread = shared.clone();
            let run = move || {
                tidy_thread_name(&kernel_name);
                let f = shared_with_thread.lock().take();
                f.into_iter().for_each(|f| call_repeatedly(f, every, &until));
            };
            match thread::Builder::new().name(name).spawn(run) {
                Ok(thread) => *started.lock() = Some(thread),
                Err(error) => {
                    let f = shared.lock().take();
                    f.into_iter().for_each(|f| call_once(f, &error));
                }
            }
        });
        RepeatingStopCallback { callback: Some(callback), unregistered, thread }
    }
}

/// Calls `f` once on the calling thread, as an ordinary stop callback, because no thread can be created to repeat it.
fn call_once(f: impl FnMut(), error: &io::Error) {
    let text = format_args!("cannot start the thread of a repeating stop callback: {error}; it is called once");
    log_line(Level::Warn, "hosted::service", text);
    if let Err(text) = catch_panic(f) {
        log_panic(&text);
    }
}

/// Calls `f` repeatedly, until `until` is stopped.
fn call_repeatedly(mut f: impl FnMut(), every: Duration, until: &StopToken) {
    // The closure owns `f`, so a panic in the drop of `f` is caught and logged too.
    let calls = move || {
        for interval in intervals(every) {
            if until.wait_timeout(interval) {
                return;
            }
            f();
        }
    };
    if let Err(text) = catch_panic(calls) {
        log_panic(&text);
    }
}

/// Returns how long to wait before each call.
fn intervals(every: Duration) -> impl Iterator<Item = Duration> {
    let longest = MAX_INTERVAL.max(every);
    let doubled = move |interval: &Duration| Some(interval.saturating_mul(2).clamp(MIN_INTERVAL, longest));
    iter::once(Duration::ZERO).chain(iter::successors(Some(every), doubled))
}

/// Keeps a repeating stop callback registered. Dropping this guard ends the repetition.
///
/// Created by [`StopToken::on_stop_repeating`].
#[must_use = "dropping it unregisters the callback at once"]
pub struct RepeatingStopCallback {
    /// `None` during the drop.
    callback: Option<StopCallback>,
    /// Stopped to end the repetition.
    unregistered: StopSource,
    /// The thread that makes the calls. It exists from the stop request on.
    thread: Arc<Mutex<Option<thread::JoinHandle<()>>>>,
}

impl Drop for RepeatingStopCallback {
    fn drop(&mut self) {
        self.unregistered.request_stop();
        // After this drop, the callback has created the thread, or never will.
        drop(self.callback.take());
        let thread = self.thread.lock().take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != caller()) {
            let _waiting = waiting(Waits::Callback, None);
            // The thread ends after the call that is in progress. A panic of the call was caught, so `join` returns `Ok`.
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
    use super::intervals;
    use std::time::Duration;

    fn in_millis(every: Duration, calls: usize) -> Vec<u128> {
        intervals(every).take(calls).map(|interval| interval.as_millis()).collect()
    }

    #[test]
    fn the_first_call_comes_at_once_and_the_intervals_double_up_to_200_ms() {
        assert_eq!(in_millis(Duration::from_millis(10), 8), [0, 10, 20, 40, 80, 160, 200, 200]);
    }

    #[test]
    fn an_interval_above_200_ms_does_not_grow() {
        assert_eq!(in_millis(Duration::from_secs(3), 4), [0, 3_000, 3_000, 3_000]);
        assert_eq!(intervals(Duration::MAX).nth(5), Some(Duration::MAX));
    }

    #[test]
    fn an_interval_of_zero_grows_from_1_ms() {
        assert_eq!(in_millis(Duration::ZERO, 11), [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 200]);
    }
}
