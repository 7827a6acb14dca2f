//! Runs a model under the checker at hand, and says how much of it was explored.

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
    /// All threads of a model are on one thread of the operating system.
    static BROKEN: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// An assertion that also holds inside a callback, where the library catches a panic: the execution fails at its end.
pub(crate) fn expect(holds: bool, promise: &'static str) {
    if !holds {
        BROKEN.set(Some(promise));
    }
}

/// Every execution that loom finds: every order of the threads' steps, and every value that an atomic may have for
/// a thread that nothing has synchronized with the last writer.
///
/// `LOOM_MAX_PREEMPTIONS` bounds how often a thread is interrupted that could go on.
#[cfg(feature = "loom")]
pub(crate) fn explore<M: Fn() + Send + Sync + 'static>(model: M) {
    explore_within(None, model);
}

/// The same, for a model that has too many executions: a thread that could go on is interrupted `preemptions` times
/// at most.
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
    tell::<M>(format_args!("{} executions ({bound})", executions.load(Relaxed)));
}

/// As many schedules as `MODEL_SCHEDULES` says, by a random scheduler and by one that interrupts a thread rarely and
/// at random (PCT).
///
/// A schedule that fails is printed. Put into a file, it is replayed by
/// `MODEL_REPLAY=file cargo test --features shuttle name::of::the::model`.
#[cfg(feature = "shuttle")]
pub(crate) fn explore<M: Fn() + Send + Sync + 'static>(model: M) {
    if let Ok(file) = std::env::var("MODEL_REPLAY") {
        return shuttle::replay_from_file(move || execute(&model), file);
    }
    let schedules = std::env::var("MODEL_SCHEDULES").map_or(10_000, |schedules| schedules.parse().unwrap());
    let model = Arc::new(model);
    run(RandomScheduler::new(schedules), model.clone());
    run(PctScheduler::new(DEPTH, schedules), model);
    tell::<M>(format_args!("{schedules} random + {schedules} PCT schedules"));
}

/// In how many places PCT takes the turn from the thread that has it. Nearly all known races need one or two.
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

/// Past the test harness, which keeps what a test prints to itself.
fn tell<M>(explored: std::fmt::Arguments<'_>) {
    let model = std::any::type_name::<M>().trim_end_matches("::{{closure}}");
    let model = model.split_once("::").map_or(model, |(_, path)| path);
    _ = writeln!(stdout(), "{model}: {explored}");
}
