//! Waits on a `Condvar` of the standard library. The stop callback takes the mutex and notifies.

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
                drop(waker.0.lock()); // afterwards the waiter sees the stop, or is waiting
                waker.1.notify_all();
            });
            let jobs = more.wait_while(jobs.lock().unwrap(), |jobs| jobs.is_empty() && !ctx.stop_requested()).unwrap();
            // end
            drop(jobs);
            Ok(())
        })
    })
}
