//! Compares contenders sample by sample and prints Markdown tables.
//!
//! On a shared machine the speed drifts by more than the differences to measure. So every round takes one sample of
//! each contender, the order rotates from round to round, each ratio is computed within its round, and the tables show
//! the median over all rounds.

#![allow(dead_code)] // each benchmark uses its own part of it

use std::hint::black_box;
use std::time::{Duration, Instant};

pub(crate) mod crew;
pub(crate) mod fleet;
pub(crate) mod signal;
pub(crate) mod table;

pub(crate) use table::Bench;

/// The time of one sample: long compared with reading the clock, short compared with the drift of the machine.
const SAMPLE: Duration = Duration::from_micros(500);
/// More rounds do not change a median.
const ROUNDS: usize = 201;
/// A row that takes longer has fewer rounds, but at least this many.
const BUDGET: Duration = Duration::from_secs(3);
const FEWEST: usize = 5;

/// A contender: performs a number of operations and returns the time that they took.
pub(crate) struct Contender<'a> {
    what: String,
    items: f64,
    sample: Box<dyn FnMut(u64) -> Duration + 'a>,
}

impl Contender<'_> {
    /// Divides the time by `n`, for an operation on `n` items.
    pub(crate) fn per(self, n: usize) -> Self {
        Contender { items: n as f64, ..self }
    }
}

/// A contender that measures its own time.
pub(crate) fn sampled<'a>(what: &str, sample: impl FnMut(u64) -> Duration + 'a) -> Contender<'a> {
    Contender { what: what.to_owned(), items: 1.0, sample: Box::new(sample) }
}

/// A contender that repeats `op`.
pub(crate) fn each<'a, R>(what: &str, mut op: impl FnMut() -> R + 'a) -> Contender<'a> {
    sampled(what, move |n| {
        let begin = Instant::now();
        (0..n).for_each(|_| drop(black_box(op())));
        begin.elapsed()
    })
}

/// A contender that repeats `op` on values from `make`. The values are created before the clock starts and dropped
/// after it stops. `at_once` is large enough to hide the cost of the clock, and small enough to stay in the cache.
pub(crate) fn batch<'a, T, R>(
    what: &str,
    at_once: usize,
    mut make: impl FnMut() -> T + 'a,
    mut op: impl FnMut(&mut T) -> R + 'a,
) -> Contender<'a> {
    sampled(what, move |n| {
        let mut took = Duration::ZERO;
        for begun in (0..n).step_by(at_once) {
            let mut values: Vec<T> = (begun..n.min(begun + at_once as u64)).map(|_| make()).collect();
            let begin = Instant::now();
            values.iter_mut().for_each(|value| drop(black_box(op(value))));
            took += begin.elapsed();
        }
        took
    })
}

/// The nanoseconds per item, for every contender and every round.
pub(crate) fn race(contenders: &mut [Contender]) -> Vec<Vec<f64>> {
    let iterations: Vec<u64> = contenders.iter_mut().map(|contender| calibrate(&mut contender.sample)).collect();
    let mut times = vec![Vec::new(); contenders.len()];
    let begin = Instant::now();
    for round in 0..ROUNDS {
        if round >= FEWEST && round % 2 == 1 && begin.elapsed() > BUDGET {
            break;
        }
        for turn in 0..contenders.len() {
            let i = (round + turn) % contenders.len();
            let took = (contenders[i].sample)(iterations[i]).as_nanos() as f64;
            times[i].push(took / (iterations[i] as f64 * contenders[i].items));
        }
    }
    times
}

/// Returns the number of operations that fill a sample.
fn calibrate(sample: &mut dyn FnMut(u64) -> Duration) -> u64 {
    let mut n = 1;
    loop {
        let took = sample(n);
        if took >= SAMPLE / 2 {
            return (n as f64 * SAMPLE.as_secs_f64() / took.as_secs_f64()).round().max(1.0) as u64;
        }
        n *= 2;
    }
}
