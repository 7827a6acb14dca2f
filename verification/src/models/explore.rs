//! Runs a model under the selected checker, and prints how much was explored.

use crate::sync::{now, once, time};
#[cfg(feature = "shuttle")]
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
#[cfg(feature = "shuttle")]
use shuttle::{Config, Runner};
use std::cell::Cell;
use std::io::{Write, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

thread_local! {
    /// All threads of a model run on one thread of the operating system.
    static BROKEN: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// An assertion that also works inside a callback, where the library catches panics: the execution fails at its end.
pub(crate) fn expect(holds: bool, promise: &'static str) {
    if !holds {
        BROKEN.set(Some(promise));
    }
}

/// Runs every execution that loom finds: every order of the threads' steps, and every value that an atomic may have for
/// a thread that has not synchronized with the last writer.
///
/// `LOOM_MAX_PREEMPTIONS` limits how often loom interrupts a thread that could continue.
#[cfg(feature = "loom")]
pub(crate) fn explore<M: Fn() + Send + Sync + 'static>(model: M) {
    explore_within(None, model);
}

/// The same for a model with too many executions: loom interrupts a thread that could continue at most `preemptions`
/// times.
#[cfg(feature = "loom")]
pub(crate) fn explore_within<M: Fn() + Send + Sync + 'static>(preemptions: impl Into<Option<usize>>, model: M) {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    let mut loom = loom::model::Builder::new();
    let bound = loom.preemption_bound.into_iter().chain(preemptions.into()).min();
    loom.preemption_bound = bound;
    loom.check(move || {
        counted.fetch_add(1, Relaxed);
        execute(&model);
    });
    let bound = bound.map_or("all".to_owned(), |bound| format!("at most {bound} preemptions"));
    print::<M>(format_args!("{} executions ({bound})", executions.load(Relaxed)));
}

/// Runs `MODEL_SCHEDULES` schedules by a random scheduler, and as many by PCT, which interrupts a thread rarely and at
/// random.
///
/// A failing schedule is printed. To replay it, save it in a file and run `MODEL_REPLAY=file cargo test --features
/// shuttle name::of::the::model`.
#[cfg(feature = "shuttle")]
pub(crate) fn explore<M: Fn() + Send + Sync + 'static>(model: M) {
    if let Ok(file) = std::env::var("MODEL_REPLAY") {
        return shuttle::replay_from_file(move || execute(&model), file);
    }
    let schedules = std::env::var("MODEL_SCHEDULES").map_or(10_000, |schedules| schedules.parse().unwrap());
    let model = Arc::new(model);
    run(RandomScheduler::new(schedules), model.clone());
    run(PctScheduler::new(DEPTH, schedules), model);
    print::<M>(format_args!("{schedules} random + {schedules} PCT schedules"));
}

/// The number of places where PCT interrupts the running thread. Nearly all known races need one or two.
#[cfg(feature = "shuttle")]
const DEPTH: usize = 3;

#[cfg(feature = "shuttle")]
fn run(scheduler: impl Scheduler + 'static, model: Arc<impl Fn() + Send + Sync + 'static>) {
    let mut config = Config::new();
    config.stack_size = 128 << 10;
    Runner::new(scheduler, config).run(move || execute(&*model));
}

#[cfg(feature = "shuttle")]
pub(crate) fn explore_within<M: Fn() + Send + Sync + 'static>(_: usize, model: M) {
    explore(model);
}

fn execute(model: &impl Fn()) {
    time::stands_still();
    once::begin();
    crate::stop::begin();
    model();
    if let Some(promise) = BROKEN.take() {
        panic!("broken: {promise}");
    }
}

/// Prints to stderr directly, because the test harness captures the output of a test.
fn print<M>(explored: std::fmt::Arguments<'_>) {
    let model = std::any::type_name::<M>().trim_end_matches("::{{closure}}");
    let model = model.split_once("::").map_or(model, |(_, path)| path);
    _ = writeln!(stdout(), "{model}: {explored}");
}
