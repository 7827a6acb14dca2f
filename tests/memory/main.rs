//! What is allocated, freed and kept, by an allocator that counts for each thread.

#[path = "../support/mod.rs"]
mod support;

mod allocator;
mod hosts;
mod stop;
