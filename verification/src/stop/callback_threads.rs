//! The stand-in for the library's `elsewhere.rs`: a thread for each job, as a checker's locks are good for one execution and
//! the library's pool is one for the whole process. The pool has a model of its own.

use super::callback_pool::Job;
use crate::sync::thread;
use crate::util::log::log_line;
use log::Level;
use std::time::Instant;

pub(crate) fn run(job: Job) {
    thread::Builder::new().name("callbacks".to_owned()).spawn(job).expect("a model has threads");
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
