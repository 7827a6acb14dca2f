//! An unbounded channel with crossbeam's signatures, as far as the library's own threads use one.

use super::{Arc, Condvar, Mutex, wait};
use std::collections::VecDeque;

pub(crate) struct Sender<T>(Arc<Channel<T>>);
pub(crate) struct Receiver<T>(Arc<Channel<T>>);

struct Channel<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
}

struct Inner<T> {
    messages: VecDeque<T>,
    disconnected: bool,
}

pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let inner = Mutex::new(Inner { messages: VecDeque::new(), disconnected: false });
    let channel = Arc::new(Channel { inner, changed: Condvar::new() });
    (Sender(channel.clone()), Receiver(channel))
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, message: T) -> Result<(), T> {
        self.0.inner.lock().messages.push_back(message);
        self.0.changed.notify_one();
        Ok(())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.inner.lock().disconnected = true;
        self.0.changed.notify_all();
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver(self.0.clone())
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let mut inner = self.0.inner.lock();
        while inner.messages.is_empty() && !inner.disconnected {
            wait(&self.0.changed, &mut inner, None);
        }
        inner.messages.pop_front()
    }
}
