//! Queues and their consumers.

#[path = "../support/mod.rs"]
mod support;

mod completion;
mod consumer;
mod consumers;
mod protocol;
mod queue;
mod stopped_push;
mod with_token;
