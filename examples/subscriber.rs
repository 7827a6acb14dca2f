//! Prints `saved 3 readings` for each full batch, smaller batches every half second, and at the end `8 saved in all`.
//!
//! The service waits for messages, a timer and the stop request at the same time. The stop request is one more
//! channel of the `select!`.

use crossbeam_channel::{Receiver, bounded, select, tick};
use hosted::{Context, Host, Result, worker};
use std::thread;
use std::time::Duration;

const FULL: usize = 3;

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let (publisher, readings) = bounded(100);

    let mut host = Host::new();
    host.add("recorder", worker(move |ctx| record(&readings, ctx)));
    host.start()?;

    for (reading, pause) in (0..8).zip([0, 0, 0, 0, 600, 0, 0, 0]) {
        publisher.send(20.0 + f64::from(reading))?;
        thread::sleep(Duration::from_millis(pause));
    }
    host.stop(Duration::from_secs(10))?;
    Ok(())
}

fn record(readings: &Receiver<f64>, ctx: &Context) -> Result {
    let flush = tick(Duration::from_millis(500));
    let (mut batch, mut saved) = (Vec::new(), 0);
    loop {
        select! {
            recv(readings) -> reading => batch.push(reading?),
            recv(flush) -> _ => saved += save(&mut batch),
            recv(ctx.done()) -> _ => break, // receives no message; disconnects when a stop is requested
        }
        if batch.len() == FULL {
            saved += save(&mut batch);
        }
    }
    batch.extend(readings.try_iter()); // the readings that were sent before the stop
    saved += save(&mut batch);
    println!("{saved} saved in all");
    Ok(())
}

/// Moves the batch into the database. Returns the number of readings.
fn save(batch: &mut Vec<f64>) -> usize {
    let count = batch.drain(..).count();
    if count > 0 {
        println!("saved {count} readings");
    }
    count
}
