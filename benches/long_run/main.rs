//! The long run: the services of `examples/ingest` over a changing tree of files, with faults, for a number of minutes.
//! In the same process a second host is created and ended several times a second. At the end the program reports what
//! has grown, what is left behind, and whether each accepted job was handled or drained.
//!
//! Exit code 1: something has grown or is left behind, a job was lost, or an unexpected error happened.

#![allow(unreachable_pub, reason = "in a program, `pub` is short for `pub(crate)`")]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../../tests/support/heap.rs"]
mod heap;

#[path = "../../examples/ingest/src/job.rs"]
mod job;
#[path = "../../examples/ingest/src/tree.rs"]
mod tree;
#[path = "../../examples/ingest/src/catalogue.rs"]
mod catalogue;
#[path = "../../examples/ingest/src/store.rs"]
mod store;
#[path = "../../examples/ingest/src/digest.rs"]
mod digest;
#[path = "../../examples/ingest/src/retention.rs"]
#[allow(dead_code)] // only ingest's `--once` uses it
mod retention;
#[path = "../../examples/ingest/src/scan.rs"]
mod scan;
#[path = "../../examples/ingest/src/facts.rs"]
#[allow(dead_code)] // only ingest lists the unreadable files
mod facts;

mod resources;
mod chance;
mod tally;
mod counted_queue;
mod flaky;
mod tokens;
mod churn;
mod client;
mod guest;
mod members;
mod rounds;
mod load;
mod minute;
mod growth;
mod ending;

use chance::{Chance, ON_PURPOSE};
use harness::Bench;
use hosted::{Result, StopSource, ctrl_c};
use load::Load;
use minute::Minute;
use resources::Usage;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, io, panic};
use tally::Tally;

const USAGE: &str = "\
usage: cargo bench --bench long_run -- MINUTES [SEED]

Runs for this number of minutes, or until ctrl-c. Without a number of minutes it does nothing.";

fn main() -> Result<ExitCode> {
    // Ignores `--bench` from `cargo bench`. A word selects rows of another benchmark.
    let numbers: Vec<u64> = env::args().skip(1).filter_map(|arg| arg.parse().ok()).collect();
    let Some(&minutes) = numbers.first() else {
        println!("{USAGE}");
        return Ok(ExitCode::SUCCESS);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = numbers.get(1).copied().unwrap_or(now);
    let tally = Arc::new(Tally::default());
    write_lines_to_nobody();
    let counters = tally.clone();
    panic::set_hook(Box::new(move |panic| {
        let text = panic.to_string();
        if !text.contains(ON_PURPOSE) {
            counters.unexpected(text);
        }
    }));
    let went_well = run(minutes, &Chance::new(seed), &tally, seed)?;
    Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Formats every line, as for a user who reads the log.
fn write_lines_to_nobody() {
    let nobody = env_logger::Target::Pipe(Box::new(io::sink()));
    env_logger::Builder::new().filter_level(log::LevelFilter::Debug).target(nobody).init();
}

fn run(minutes: u64, chance: &Chance, tally: &Arc<Tally>, seed: u64) -> Result<bool> {
    let bench = Bench::from_args();
    println!("\nseed {seed}");
    let (signal, parent) = (ctrl_c()?, StopSource::new());
    parent.request_stop_after(Duration::from_secs(u64::MAX >> 32)); // creates the thread of the timer
    let before = Usage::now();

    let mut load = Load::new(chance, tally, &parent.token())?;
    load.host.start()?;
    let stop = StopSource::linked([&signal, &load.host.handle().stopping()]).token();
    let table = bench.table("Minutes", minute::COLUMNS);
    let watch = |number| {
        let minute = Minute::watch(&stop, &load.host, chance, tally)?;
        table.row(&minute.row(number));
        Some(minute)
    };
    let watched: Vec<Minute> = (1..=minutes as usize).map_while(watch).collect();

    let went_well = ending::end(&bench, load, tally, before);
    Ok(growth::report(&bench, &watched) & went_well)
}
