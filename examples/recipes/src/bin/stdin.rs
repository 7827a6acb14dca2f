//! Reads lines from the standard input until the stop.

use hosted::{Result, worker};
use recipes::{PROMPT, ROUNDS, measure};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;

fn main() -> Result {
    // Replace the standard input by a pipe that nobody closes, so that the result does not depend on the caller.
    let (input, mut output) = io::pipe()?;
    rustix::stdio::dup2_stdin(input)?;
    let (seen, lines) = mpsc::channel();
    measure(PROMPT, || {
        output.write_all(b"hello\n").unwrap();
        let seen = seen.clone();
        worker(move |ctx| {
            // recipe
            let input = File::from(io::stdin().as_fd().try_clone_to_owned()?); // `io::stdin()` buffers
            for line in BufReader::new(ctx.interruptible(input)).lines() {
                seen.send(line?)?;
            }
            // end
            Ok(())
        })
    })?;
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["hello"; ROUNDS]);
    Ok(())
}
