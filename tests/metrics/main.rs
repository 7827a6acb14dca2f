//! Feature `metrics`: what a host, its services and its queues record through the facade.

#![cfg(feature = "metrics")]

#[path = "../support/mod.rs"]
mod support;

mod queues;
mod recorder;
mod services;
