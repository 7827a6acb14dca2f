//! Stop tokens, sources, callbacks, timers, and everything that waits for a stop.

#[path = "../support/mod.rs"]
mod support;

mod callback;
mod guard;
mod repeating;
mod repeating_thread;
mod timer;
mod timer_thread;
mod token;
mod wait;
