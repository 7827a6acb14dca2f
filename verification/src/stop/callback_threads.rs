//! Replaces the library's `callback_threads.rs` by a thread for each job. A checker's locks are valid for one
//! execution, but the library has one pool for the whole process. The pool has its own model.

use super::callback_pool::Job;
use crate::sync::thread;
use crate::util::log::log_line;
use log::Level;
use std::time::Instant;

pub(crate) fn run(job: Job) {
    thread::Builder::new().name("callbacks".to_owned()).spawn(job).expect("a model can create threads");
}

pub(crate) fn run_patiently(job: Job) {
    run(job);
}

pub(crate) fn tend() -> Option<Instant> {
    None
}

pub(crate) fn named(_: &str, f: impl FnOnce()) {
    f();
}

pub(super) fn log_panic(text: &str) {
    log_line(Level::Error, "hosted::service", format_args!("a stop callback panicked: {text}"));
}
