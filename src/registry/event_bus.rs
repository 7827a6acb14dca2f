//! The subscribers of a host's events. Each has a channel of limited capacity, and never delays the thread that publishes.
//!
//! The channels are unbounded, and `publish` limits their length. A bounded channel of crossbeam would allocate its whole capacity
//! at once, which is 133 KiB here. An unbounded channel allocates as it fills, and frees its events with its receiver.

use crate::report::Event;
use crate::util::sync::{AtomicUsize, Mutex, Ordering};
use crossbeam_channel::{Receiver, Sender, unbounded};

/// How many events wait at most in the channel of a subscriber.
const EVENT_CAPACITY: usize = 1_024;

#[derive(Default)]
pub(crate) struct EventBus {
    listeners: Mutex<Vec<Listener>>,
    /// The number of listeners. Without listeners, an event costs only one atomic load.
    count: AtomicUsize,
}

struct Listener {
    sender: Sender<Event>,
    /// The number of events that were dropped since the last event that was sent.
    missed: u64,
}

impl EventBus {
    /// Subscribes to all events from now on.
    pub(crate) fn subscribe(&self) -> Receiver<Event> {
        let (sender, receiver) = unbounded();
        let mut listeners = self.listeners.lock();
        listeners.push(Listener { sender, missed: 0 });
        self.count.store(listeners.len(), Ordering::Relaxed);
        receiver
    }

    /// Relaxed is enough: a subscriber may expect an event only if the publishing thread knows that `subscribe` has returned.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Sends the event to every listener. It never waits and calls no user code, so the caller may hold a lock.
    pub(crate) fn publish(&self, event: &Event) {
        let mut listeners = self.listeners.lock();
        listeners.retain_mut(|listener| listener.publish(event));
        let capacity = listeners.capacity();
        if listeners.len() < capacity / 4 {
            listeners.shrink_to(capacity / 2); // many subscribers are gone: free their memory
        }
        self.count.store(listeners.len(), Ordering::Relaxed);
    }
}

impl Listener {
    /// Returns `false` if the receiver was dropped.
    fn publish(&mut self, event: &Event) -> bool {
        let missed = (self.missed > 0).then(|| event.missed(self.missed));
        for event in missed.into_iter().chain([event.clone()]) {
            // Nobody else sends, so the channel cannot fill up before the event is sent. A channel without a receiver is empty,
            // so `send` below notices that the receiver is gone.
            if self.sender.len() >= EVENT_CAPACITY {
                self.missed += 1;
                break; // the report of the dropped events must come before any later event
            }
            if self.sender.send(event).is_err() {
                return false;
            }
            self.missed = 0;
        }
        true
    }
}
