//! Tests with an allocator that counts for each thread what is allocated, freed and kept.

#[path = "../support/mod.rs"]
mod support;

mod allocator;
mod hosts;
mod stop;
