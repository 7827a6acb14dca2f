//! Running a model under many schedules.

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};
use std::env;
use std::sync::Arc;

/// In how many places PCT takes the turn from the thread that has it. Nearly all known races need one or two.
const DEPTH: usize = 3;

/// Runs `model` under random schedules and under as many of PCT, and says how many.
///
/// `MODEL_SCHEDULES` is their number, 10,000 if it is not set. A schedule that fails is printed; put into a file, it is
/// replayed by `MODEL_REPLAY=file cargo test --release --features shuttle name::of::the::model`.
pub(super) fn explore(name: &str, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    if let Ok(file) = env::var("MODEL_REPLAY") {
        return shuttle::replay_from_file(move || model(), file);
    }
    let schedules = env::var("MODEL_SCHEDULES").map_or(10_000, |n| n.parse().expect("MODEL_SCHEDULES is a number"));
    let random = run(RandomScheduler::new(schedules), model.clone());
    let pct = run(PctScheduler::new(DEPTH, schedules), model);
    println!("{name}: {random} random + {pct} PCT schedules");
}

fn run(scheduler: impl Scheduler + 'static, model: Arc<impl Fn() + Send + Sync + 'static>) -> usize {
    let mut config = Config::new();
    config.stack_size = 0x20_000;
    Runner::new(scheduler, config).run(move || model())
}
