//! A `Condvar` of the standard library: the stop takes the lock and notifies.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::sync::{Arc, Condvar, Mutex};

fn main() -> Result {
    measure(PROMPT, || {
        let shared = Arc::new((Mutex::new(Vec::<String>::new()), Condvar::new()));
        worker(move |ctx| {
            let (jobs, more) = &*shared;
            let waker = shared.clone();
            // recipe
            let _wake = ctx.on_stop(move || {
                drop(waker.0.lock()); // so that the waiter is either before its look at the token, or already waiting
                waker.1.notify_all();
            });
            let jobs = more.wait_while(jobs.lock().unwrap(), |jobs| jobs.is_empty() && !ctx.stop_requested()).unwrap();
            // end
            drop(jobs);
            Ok(())
        })
    })
}
