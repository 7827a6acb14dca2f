//! Compares contenders sample by sample and prints Markdown tables.
//!
//! The speed of a machine that others use drifts by more than what is to be measured. So every round takes one sample of
//! each contender, the order rotates from round to round, a ratio is made within its round, and what is printed is the
//! median over all rounds.

#![allow(dead_code)] // each benchmark uses its own part of it

use std::hint::black_box;
use std::time::{Duration, Instant};

pub(crate) mod crew;
pub(crate) mod fleet;
pub(crate) mod signal;
pub(crate) mod table;

pub(crate) use table::Bench;

/// How long one sample takes: long against a look at the clock, short against the drift of the machine.
const SAMPLE: Duration = Duration::from_micros(500);
/// More rounds than these do not move a median.
const ROUNDS: usize = 201;
/// A row that takes longer makes do with fewer rounds, but not with fewer than these.
const BUDGET: Duration = Duration::from_secs(3);
const FEWEST: usize = 5;

/// One of those that are compared: does so many operations, and says how long these took.
pub(crate) struct Contender<'a> {
    what: String,
    items: f64,
    sample: Box<dyn FnMut(u64) -> Duration + 'a>,
}

impl Contender<'_> {
    /// Each operation is for `n` items: what counts is the time for one.
    pub(crate) fn per(self, n: usize) -> Self {
        Contender { items: n as f64, ..self }
    }
}

/// A contender that measures by itself.
pub(crate) fn sampled<'a>(what: &str, sample: impl FnMut(u64) -> Duration + 'a) -> Contender<'a> {
    Contender { what: what.to_owned(), items: 1.0, sample: Box::new(sample) }
}

/// `op`, over and over.
pub(crate) fn each<'a, R>(what: &str, mut op: impl FnMut() -> R + 'a) -> Contender<'a> {
    sampled(what, move |n| {
        let begin = Instant::now();
        (0..n).for_each(|_| drop(black_box(op())));
        begin.elapsed()
    })
}

/// `op` on values that `make` has made, so many at once, before the clock runs, and that are dropped after it has stopped.
/// Enough of them to hide the clock, few enough to stay in the cache.
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

/// Nanoseconds for an item: of every contender, in every round.
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

/// How many operations fill a sample.
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
