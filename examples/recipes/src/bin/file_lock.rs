//! Waits for a file lock that another descriptor holds, by trying again until the stop.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::fs::{File, TryLockError};
use std::time::Duration;

fn main() -> Result {
    let path = tempfile::NamedTempFile::new()?.into_temp_path();
    let other = File::open(&path)?;
    other.lock()?;
    measure(PROMPT, || {
        let file = File::open(&path).unwrap();
        worker(move |ctx| {
            // recipe
            loop {
                match file.try_lock() {
                    Err(TryLockError::WouldBlock) => ctx.sleep(Duration::from_millis(20))?, // no signal when it is free
                    done => break Ok(done?),
                }
            }
            // end
        })
    })
}
