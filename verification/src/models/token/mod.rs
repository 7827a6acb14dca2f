//! The protocol of the token. Each model is a promise, checked in every order that a checker finds.
//!
//! Loom finds what a weaker atomic ordering would allow. Shuttle has no weak memory. It finds orders around the
//! standard library's reference counts that loom takes for equivalent.

mod callbacks;
mod guards;
mod linked;
mod requests;
mod timed;
mod waiting;

use crate::models::explore::{expect, explore, explore_within};
use crate::sync::{Arc, AtomicUsize, Ordering, thread};
use crate::{StopCallback, StopSource, StopToken};

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> thread::JoinHandle<T> {
    thread::Builder::new().spawn(f).unwrap()
}

fn request(stop: &StopSource) -> thread::JoinHandle<bool> {
    let stop = stop.clone();
    spawn(move || stop.request_stop())
}

/// A number that orders nothing itself: a reader is sure to see a write only if the token ordered them.
#[derive(Clone)]
struct Memory(Arc<AtomicUsize>);

impl Memory {
    fn new() -> Self {
        Memory(Arc::new(AtomicUsize::new(0)))
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A callback that counts its calls.
fn counted(token: &StopToken) -> (StopCallback, Memory) {
    let calls = Memory::new();
    let count = calls.clone();
    (token.on_stop(move || count.add_one()), calls)
}
