//! Who listens to a host's events: channels that hold so many events, and never hold the teller up.
//!
//! The channels are unbounded, and the bus bounds them: a bounded channel of crossbeam's allocates all its room when it is
//! made, which is 133 KiB here. An unbounded channel allocates as it fills, and frees what is in it with its receiver.

use crate::report::Event;
use crate::util::sync::{AtomicUsize, Mutex, Ordering};
use crossbeam_channel::{Receiver, Sender, unbounded};

/// How many events a listener may be behind.
const EVENT_CAPACITY: usize = 1_024;

#[derive(Default)]
pub(crate) struct EventBus {
    listeners: Mutex<Vec<Listener>>,
    /// How many listeners there are, so that without one an event costs a load.
    count: AtomicUsize,
}

struct Listener {
    sender: Sender<Event>,
    /// How many events found no room since the last that did.
    missed: u64,
}

impl EventBus {
    /// A subscription to everything from now on.
    pub(crate) fn subscribe(&self) -> Receiver<Event> {
        let (sender, receiver) = unbounded();
        let mut listeners = self.listeners.lock();
        listeners.push(Listener { sender, missed: 0 });
        self.count.store(listeners.len(), Ordering::Relaxed);
        receiver
    }

    /// Relaxed: a listener hears what is told after `subscribe` has returned to whoever tells.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Hands the event to every listener. Never waits and calls nothing foreign, so it may be called under a lock.
    pub(crate) fn publish(&self, event: &Event) {
        let mut listeners = self.listeners.lock();
        listeners.retain_mut(|listener| listener.publish(event));
        let room = listeners.capacity();
        if listeners.len() < room / 4 {
            listeners.shrink_to(room / 2); // many have gone: their room goes too
        }
        self.count.store(listeners.len(), Ordering::Relaxed);
    }
}

impl Listener {
    /// False: nobody listens there any more.
    fn publish(&mut self, event: &Event) -> bool {
        let missed = (self.missed > 0).then(|| event.missed(self.missed));
        for event in missed.into_iter().chain([event.clone()]) {
            // Nobody else sends, so the room that is there now is there until the event is sent. A channel without a
            // receiver is empty: that it is gone is seen below.
            if self.sender.len() >= EVENT_CAPACITY {
                self.missed += 1;
                break; // nothing may overtake the word about what is missing
            }
            if self.sender.send(event).is_err() {
                return false;
            }
            self.missed = 0;
        }
        true
    }
}
