//! Queues and their consumers.

#[path = "../support/mod.rs"]
mod support;

mod batch;
mod batch_failures;
mod completion;
mod consumer;
mod consumers;
mod protocol;
mod queue;
mod recv;
mod stopped_push;
mod with_token;
