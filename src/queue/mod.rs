//! A bounded queue of jobs between services. Its protocol, with its invariants, is in `state.rs`.

mod error;
mod sleep;
mod state;

pub use error::PushError;
pub(crate) use state::MemberId;

use crate::error::RecvError;
use crate::line;
use crate::stop::StopToken;
use crate::sync::{Arc, Mutex, deadline};
use log::Level;
use sleep::Sleeper;
use state::{Aftermath, State, release};
use std::fmt;
use std::time::{Duration, Instant};

/// A bounded queue of jobs between services: services push jobs, and a [`consumer`](Self::consumer) handles them.
///
/// Clones are the same queue. An item that the queue accepted is handled once, or is left for [`drain`](Self::drain).
///
/// The queue closes by itself once none of its consumers will run again:
///
/// - when the outermost host stops, and its last consumer that runs is asked to stop;
/// - when the last consumer has completed or failed for good, or its host has ended without starting it.
///
/// (The consumer in a [`group`](crate::group) that was never filled does not exist. Its queue stays open until somebody
/// [closes](Self::close) it.) A restart closes nothing, be it of a consumer or of the group around it: the next run takes what was
/// pushed meanwhile. At a stop, consumers finish what was accepted until their time is up. Add a producer *after* its
/// consumer: then the producer stops first. .NET: a `BoundedChannel` with a queued `BackgroundService`.
///
/// ```
/// use hosted::{Host, Queue, worker};
///
/// let outbox = Queue::bounded(100);
/// let mut host = Host::new();
/// host.add("mailer", outbox.consumer(|to: String, _| {
///     println!("mail to {to}");
///     Ok(())
/// }));
/// host.add("sign-ups", worker(move |ctx| {
///     outbox.push_until("ada@example.org".to_owned(), ctx.stop_token())?;
///     ctx.host().request_stop();
///     Ok(())
/// }));
/// host.run().unwrap(); // the mail has gone out
/// ```
#[doc(alias("Channel", "BlockingCollection", "IBackgroundTaskQueue"))]
pub struct Queue<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
}

impl<T> Queue<T> {
    /// A queue with room for `n` items. The room is allocated at once.
    ///
    /// With no room at all, its consumer is an error of [`Host::start`](crate::Host::start).
    ///
    /// # Panics
    ///
    /// For more items than memory can number. Where memory for `n` items is not to be had, the process ends.
    pub fn bounded(n: usize) -> Self {
        Queue { shared: Arc::new(Shared { state: Mutex::new(State::new(n)) }) }
    }

    /// Puts `item` in, waiting for room for as long as it takes: only room or the closing ends the wait.
    ///
    /// `push(item)?` in a service asks for `T: Send + Sync`, because the error carries the item. A job that pushes into its
    /// own full queue waits for itself, until the stop closes it: [`try_push`](Self::try_push) does not.
    ///
    /// # Errors
    ///
    /// [`PushError::Closed`] with the item.
    pub fn push(&self, item: T) -> Result<(), PushError<T>> {
        self.push_by(item, &StopToken::never(), None)
    }

    /// Puts `item` in, waiting for room until `stop` is stopped.
    ///
    /// # Errors
    ///
    /// [`PushError::Stopped`] or [`PushError::Closed`], with the item. Where it is both, `Stopped`.
    pub fn push_until(&self, item: T, stop: &StopToken) -> Result<(), PushError<T>> {
        self.push_by(item, stop, None)
    }

    /// Puts `item` in, waiting for room for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] or [`PushError::Closed`], with the item.
    pub fn push_timeout(&self, item: T, limit: Duration) -> Result<(), PushError<T>> {
        self.push_by(item, &StopToken::never(), deadline(limit))
    }

    /// Puts `item` in if there is room.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] or [`PushError::Closed`], with the item.
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        let mut state = self.shared.state.lock();
        let pushed = state.admit(item, &StopToken::never());
        release(state);
        pushed
    }

    /// Closes the queue, for ever: nothing more gets in; what is in is still handled, and then its consumers complete.
    #[doc(alias = "CompleteAdding")]
    pub fn close(&self) {
        self.finish(State::close);
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        self.shared.state.lock().len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns `true` if the queue is closed, by [`close`](Self::close) or because none of its consumers will run again.
    pub fn is_closed(&self) -> bool {
        self.shared.state.lock().is_closed()
    }

    /// Takes out everything that is in the queue: after a stop, what its consumers had no time for.
    ///
    /// Of a closed queue that is all there will ever be.
    pub fn drain(&self) -> Vec<T> {
        let mut state = self.shared.state.lock();
        let items = state.drain();
        release(state);
        items
    }

    fn push_by(&self, mut item: T, stop: &StopToken, until: Option<Instant>) -> Result<(), PushError<T>> {
        let mut sleeper = Sleeper::new(stop, until);
        loop {
            let mut state = self.shared.state.lock();
            match state.admit(item, stop) {
                Err(PushError::Full(back)) if !sleeper.is_late() => item = back,
                done => {
                    sleeper.get_up(&mut state.pushers);
                    release(state);
                    return done;
                }
            }
            sleeper.lie_down(&mut state.pushers);
            release(state);
            sleeper.sleep();
        }
    }

    /// Takes the next item out, and waits for one until `stop` is stopped, or the queue is closed and empty.
    pub(crate) fn take(&self, stop: &StopToken) -> Result<T, RecvError> {
        let mut sleeper = Sleeper::new(stop, None);
        loop {
            let mut state = self.shared.state.lock();
            if let Some(done) = state.serve(stop) {
                sleeper.get_up(&mut state.takers);
                release(state);
                return done;
            }
            sleeper.lie_down(&mut state.takers);
            release(state);
            sleeper.sleep();
        }
    }

    /// Takes the next item out, if there is one.
    pub(crate) fn try_take(&self) -> Option<T> {
        let mut state = self.shared.state.lock();
        let item = state.pop();
        release(state);
        item
    }

    /// How many items there may be at once.
    pub(crate) fn room(&self) -> usize {
        self.shared.state.lock().room()
    }

    pub(crate) fn new_member(&self) -> MemberId {
        self.shared.state.lock().new_member()
    }

    /// The consumer `id` has started.
    pub(crate) fn begin(&self, id: MemberId) {
        self.shared.state.lock().begin(id);
    }

    /// The consumer `id` was asked to stop. With the last one that may run, the queue closes.
    pub(crate) fn asked(&self, id: MemberId) {
        self.finish_and_warn(|state| if state.mark_asked(id) { state.settle() } else { Aftermath::default() });
    }

    /// The consumer `id` takes nothing more. Returns how many items are left that no consumer will take.
    pub(crate) fn leave(&self, id: MemberId) -> usize {
        self.finish(|state| state.leave(id))
    }

    /// As [`leave`](Self::leave), where there is no context to report by.
    pub(crate) fn leave_and_warn(&self, id: MemberId) {
        self.finish_and_warn(|state| state.leave(id));
    }

    fn finish(&self, step: impl FnOnce(&mut State<T>) -> Aftermath) -> usize {
        let mut state = self.shared.state.lock();
        let after = step(&mut state);
        drop(state); // nothing was put in or taken out: nobody else is to be woken
        after.finish()
    }

    fn finish_and_warn(&self, step: impl FnOnce(&mut State<T>) -> Aftermath) {
        let items = self.finish(step);
        if items > 0 {
            let text = format_args!("a queue was closed with {items} items in it, and no consumer will take them");
            line::log(Level::Warn, "hosted::queue", text);
        }
    }
}

impl<T: Send + 'static> Queue<T> {
    /// The consumer `id` will not be started again once `retired` is stopped. `hosted`: it is a service of a host.
    pub(crate) fn attach(&self, id: MemberId, retired: &StopToken, hosted: bool) {
        if !self.shared.state.lock().attach(id, retired, hosted) {
            return;
        }
        // Weak: a host that goes on must not keep what is left in a queue that everybody else has dropped.
        let shared = Arc::downgrade(&self.shared);
        let retire = move || {
            if let Some(shared) = shared.upgrade() {
                Queue { shared }.finish_and_warn(State::settle);
            }
        };
        // Without the lock: if the token is stopped already, the callback runs here.
        let callback = retired.on_stop(retire);
        let superfluous = self.shared.state.lock().keep(retired, callback);
        superfluous.into_iter().for_each(|callback| _ = callback.unregister());
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, closed) = {
            let state = self.shared.state.lock();
            (state.len(), state.is_closed())
        };
        f.debug_struct("Queue").field("len", &len).field("closed", &closed).finish_non_exhaustive()
    }
}
