//! A parallel loop of `rayon`: each item looks at the token.

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

/// Some microseconds of a processor's time.
fn work_on(n: u64) -> Result {
    black_box((0..1000).fold(n, |sum, i| sum.rotate_left(7) ^ i));
    Ok(())
}
