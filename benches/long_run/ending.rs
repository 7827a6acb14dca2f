//! The end of the long run: stops the first host and checks that nothing is left of it.

use crate::chance::KNOWN;
use crate::harness::Bench;
use crate::harness::table::{thousands, verdict};
use crate::load::Load;
use crate::resources::{DESCRIPTORS, THREADS, Usage};
use crate::tally::Tally;
use hosted::StopReason;
use std::thread;
use std::time::{Duration, Instant};

/// More time than the stop needs.
const PATIENCE: Duration = Duration::from_secs(60);
/// More time than idle threads of the library need to exit: 1 s.
const SETTLING: Duration = Duration::from_secs(20);

/// Returns `true` if everything went well, from the beginning to the end.
pub fn end(bench: &Bench, mut load: Load, tally: &Tally, before: Usage) -> bool {
    let result = load.host.stop(PATIENCE);
    let (error, report) = match &result {
        Ok(report) => (None, report),
        Err(error) => (Some(error), error.report()),
    };
    let failures = error.into_iter().flat_map(|error| error.failures()).map(ToString::to_string);
    let unknown = failures.filter(|failure| !KNOWN.iter().any(|known| failure.contains(known)));
    unknown.for_each(|failure| tally.unexpected(failure));
    if report.reason != StopReason::Requested {
        tally.unexpected(format!("the first host stopped on its own: {}", report.reason));
    }
    println!("\n```text\n{report}\n```");

    load.queue.drain();
    let queue = load.queue.clone();
    drop((load, result));
    let left = left_behind(before);

    let table = bench.table("The lives of the second hosts", "what | how often");
    tally.rounds.lock().iter().for_each(|(what, times)| table.row(&[what.to_string(), thousands(*times as usize)]));
    let table = bench.table("The end", "what | | verdict");
    let row = |what: &str, is: String, met: bool| {
        table.row(&[what.to_owned(), is, verdict(Some(met))]);
        met
    };
    let events = tally.missed.get();
    table.row(&["devices and connections".to_owned(), thousands(tally.members.get() as usize), verdict(None)]);
    table.row(&["pages that the client got".to_owned(), thousands(tally.pages.get() as usize), verdict(None)]);
    table.row(&["events that the listener missed".to_owned(), thousands(events as usize), verdict(None)]);
    row("jobs of the first host: accepted = handled + drained", queue.sums.to_string(), queue.sums.are_balanced())
        & row("of the second hosts", tally.guests.to_string(), tally.guests.are_balanced())
        & row("threads left behind", left[0].to_string(), left[0] <= 0)
        & row("descriptors left behind", left[1].to_string(), left[1] <= 0)
        & row("unexpected errors", tally.surprises.get().to_string(), tally.surprises.get() == 0)
}

/// How many more threads and descriptors there are than before. Some belong to the pool of callback threads.
fn left_behind(before: Usage) -> [i64; 2] {
    let began = Instant::now();
    loop {
        let now = Usage::now();
        let left = [THREADS, DESCRIPTORS].map(|what| now.0[what] - before.0[what]);
        if left.iter().all(|more| *more <= 0) || began.elapsed() > SETTLING {
            return left;
        }
        thread::sleep(Duration::from_millis(100));
    }
}
