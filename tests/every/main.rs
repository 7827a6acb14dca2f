//! Services that do something periodically, and the clocks that drive them.

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod every;
mod ticks;
