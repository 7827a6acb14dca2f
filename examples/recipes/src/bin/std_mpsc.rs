//! Receives from a channel of the standard library. The stop callback drops the last sender.

use hosted::{Result, worker};
use recipes::{PROMPT, ROUNDS, measure};
use std::sync::{Arc, mpsc};
use std::thread;

fn main() -> Result {
    let (seen, jobs_seen) = mpsc::channel();
    measure(PROMPT, || {
        let seen = seen.clone();
        worker(move |ctx| {
            // recipe
            let (sender, jobs) = mpsc::channel();
            let sender = Arc::new(sender);
            let producer = Arc::downgrade(&sender); // sends through `upgrade`, so it keeps no sender alive
            let _close = ctx.on_stop(move || drop(sender)); // the last sender: `jobs` ends
            // end
            thread::spawn(move || producer.upgrade().map(|sender| sender.send("hello")));
            for job in jobs {
                seen.send(job)?;
            }
            Ok(())
        })
    })?;
    assert_eq!(jobs_seen.try_iter().collect::<Vec<_>>(), ["hello"; ROUNDS]);
    Ok(())
}
