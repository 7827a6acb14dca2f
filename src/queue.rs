//! A bounded queue of jobs between services.

use crate::blocked::{Waits, waiting};
use crate::error::StopMarker;
use crate::stop::{StopSource, StopToken};
use crate::sync::{Arc, Mutex, RwLock, deadline};
use crossbeam_channel::{Receiver, Sender, TrySendError, at, bounded, never, select_biased};
use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

/// A bounded queue of jobs between services: what one pushes, a [`consumer`](Self::consumer) handles.
///
/// Clones are the same queue. What was accepted is handled once, or is there for [`drain`](Self::drain). On a stop the
/// queue closes when the last of its running consumers is asked to stop, and consumers finish what was accepted
/// until their time is up. So a producer is added *after* its consumer: then it stops first. .NET: a
/// `BoundedChannel` with a queued `BackgroundService`.
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
    /// `None` once closed. Whoever pushes has a clone, or a read guard, so that the channel is disconnected, and its
    /// consumers end, only when the last push that had got in is done.
    sender: RwLock<Option<Sender<T>>>,
    receiver: Receiver<T>,
    /// Stopped when the queue closes: wakes pushes that wait for room.
    closed: StopSource,
    /// How many consumers run that have not been asked to stop.
    consumers: Mutex<usize>,
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
        let (sender, receiver) = bounded(n);
        let sender = RwLock::new(Some(sender));
        let (closed, consumers) = (StopSource::new(), Mutex::new(0));
        Queue { shared: Arc::new(Shared { sender, receiver, closed, consumers }) }
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
        match &*self.shared.sender.read() {
            None => Err(PushError::Closed(item)),
            Some(sender) => sender.try_send(item).map_err(|error| match error {
                TrySendError::Full(item) => PushError::Full(item),
                TrySendError::Disconnected(item) => PushError::Closed(item),
            }),
        }
    }

    /// Closes the queue, for ever: nothing more gets in; what is in is still handled, and then its consumers complete.
    #[doc(alias = "CompleteAdding")]
    pub fn close(&self) {
        // Refused from here on. Who waits for room is woken to be refused: no later than `is_closed` says so.
        let sender = self.shared.sender.write().take();
        drop(sender);
        self.shared.closed.request_stop();
    }

    /// How many items are in it.
    pub fn len(&self) -> usize {
        self.shared.receiver.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.shared.receiver.is_empty()
    }

    /// Takes out what is in it: after a stop, what its consumers had no time for.
    ///
    /// Of a closed queue it is all there ever will be: a push that had got in before the closing is waited for.
    pub fn drain(&self) -> Vec<T> {
        if self.is_closed() {
            // Until disconnected, not until empty. Who waits for room has been woken, so this waits for nobody.
            return self.shared.receiver.iter().collect();
        }
        self.shared.receiver.try_iter().collect()
    }

    fn push_by(&self, item: T, stop: &StopToken, until: Option<Instant>) -> Result<(), PushError<T>> {
        if stop.stop_requested() {
            return Err(PushError::Stopped(item));
        }
        let pushed = match self.try_push(item) {
            Err(PushError::Full(item)) => self.wait_for_room(item, stop, until),
            pushed => pushed,
        };
        match pushed {
            // A stop without time for an order asks a producer, and closes its queue before it is awake.
            Err(PushError::Closed(item)) if stop.stop_requested() => Err(PushError::Stopped(item)),
            pushed => pushed,
        }
    }

    fn wait_for_room(&self, item: T, stop: &StopToken, until: Option<Instant>) -> Result<(), PushError<T>> {
        // A clone, not the guard: closing must not wait for us.
        let Some(sender) = self.shared.sender.read().clone() else { return Err(PushError::Closed(item)) };
        let closed = self.shared.closed.token();
        let over = until.map_or_else(never, at);
        let _waiting = waiting(Waits::Room, until);
        select_biased! {
            recv(closed.done()) -> _ => Err(PushError::Closed(item)),
            recv(stop.done()) -> _ => Err(PushError::Stopped(item)),
            send(sender, item) -> sent => sent.map_err(|unsent| PushError::Closed(unsent.0)),
            recv(over) -> _ => Err(PushError::Full(item)),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.closed.stop_requested()
    }

    /// The end that consumers take from.
    pub(crate) fn receiver(&self) -> &Receiver<T> {
        &self.shared.receiver
    }

    /// A consumer runs from here on.
    pub(crate) fn join(&self) {
        *self.shared.consumers.lock() += 1;
    }

    /// A consumer that had joined takes no more for granted: how many are left.
    pub(crate) fn leave(&self) -> usize {
        let mut consumers = self.shared.consumers.lock();
        *consumers -= 1;
        *consumers
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

/// Why an item did not get into a [`Queue`]. The item comes back with it.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// There is no room, and the time to wait for some is over.
    Full(T),
    /// The queue is closed, for ever.
    Closed(T),
    /// A stop was requested. Like [`Stopped`](crate::Stopped), it ends a service cleanly.
    Stopped(T),
}

impl<T> PushError<T> {
    /// The item.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Full(item) | PushError::Closed(item) | PushError::Stopped(item) => item,
        }
    }
}

impl<T> fmt::Debug for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "Full(..)",
            PushError::Closed(_) => "Closed(..)",
            PushError::Stopped(_) => "Stopped(..)",
        })
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Full(_) => "the queue is full",
            PushError::Closed(_) => {
                "the queue is closed: its last consumer was asked to stop (a producer added after its consumer stops first)"
            }
            PushError::Stopped(_) => "stopped while pushing into a queue",
        })
    }
}

impl<T> Error for PushError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PushError::Stopped(_) => Some(&StopMarker),
            PushError::Full(_) | PushError::Closed(_) => None,
        }
    }
}
