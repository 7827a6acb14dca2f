//! Runs a parallel loop of `rayon`. Each item checks the token.

use hosted::{Result, worker};
use rayon::prelude::*;
use recipes::{PROMPT, measure};
use std::hint::black_box;

fn main() -> Result {
    measure(PROMPT, || {
        worker(move |ctx| {
            // recipe
            (0..u64::MAX).into_par_iter().try_for_each(|n| {
                ctx.check()?; // one atomic load
                work_on(n)
            })
            // end
        })
    })
}

/// Uses a processor for a few microseconds.
fn work_on(n: u64) -> Result {
    black_box((0..1000).fold(n, |sum, i| sum.rotate_left(7) ^ i));
    Ok(())
}
