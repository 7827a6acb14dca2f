//! The last resort: services that hang on a socket are disconnected from it. Feature `disconnect`.

use super::{Board, Remains};
use crate::blocked::View;
use crate::event::EventKind;

impl Board {
    /// Shuts down what the threads of these services wait on, if they have not ended.
    pub(crate) fn disconnect(&self, services: impl Iterator<Item = usize>) {
        let view = View::new();
        for index in services {
            for remains in self.threads(index) {
                let Some(seen) = remains.disconnect(&view) else { continue };
                self.update(|inner| {
                    inner.slots[index].disconnected.push(seen.clone());
                    inner.say_of(index, EventKind::Disconnected(seen));
                });
            }
        }
    }

    /// A service's own thread, until it has nothing more to do (then its number may soon be another's), and that of its stop
    /// callbacks.
    fn threads(&self, index: usize) -> Vec<Remains> {
        self.read(|inner| {
            let slot = &inner.slots[index];
            let own = slot.ended.is_none().then(|| slot.own());
            slot.callback().into_iter().chain(own).collect()
        })
    }
}
