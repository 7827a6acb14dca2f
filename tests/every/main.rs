//! Services that do something at a fixed rate, and the clocks that drive them.

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod every;
mod ticks;
