//! Feature `cron`: services that run by a wall-clock schedule.

#![cfg(feature = "cron")]

#[path = "../support/mod.rs"]
mod support;

mod calendar;
mod schedule;
mod service;
