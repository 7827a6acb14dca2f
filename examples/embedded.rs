//! Prints `frame 1` to `frame 10` from the program's own main loop, with the mails that a service has found.
//!
//! A game, a window or a console needs the main thread for itself. Such a program starts the host, runs its own
//! loop, and stops the host. It installs no signal handler.

use hosted::{Host, Restart, worker};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn main() -> Result<(), hosted::HostError> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let unread = Arc::new(AtomicU32::new(0));
    let found = unread.clone();

    let mut host = Host::new();
    host.add(
        "mailbox",
        worker(move |ctx| {
            loop {
                found.fetch_add(new_mails()?, Ordering::Relaxed);
                ctx.sleep(Duration::from_millis(250))?;
            }
        }),
    )
    .restart(Restart::on_failure());
    host.start()?; // every service is ready, or no service is left running

    let stopping = host.handle().stopping(); // stops when a service fails for good
    for frame in 1..=10 {
        if stopping.sleep(Duration::from_millis(100)).is_err() {
            break;
        }
        println!("frame {frame}, unread mails: {}", unread.load(Ordering::Relaxed));
    }

    let report = host.stop(Duration::from_secs(10))?; // joins every thread, or names it in the error
    println!("{report}");
    Ok(())
}

/// Stands for a request to the mail server.
fn new_mails() -> hosted::Result<u32> {
    Ok(1)
}
