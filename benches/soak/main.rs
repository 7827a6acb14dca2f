//! The soak of the probes: a status server is probed every 100 ms for a number of minutes, while services degrade, stall,
//! fail and restart at random. Each answer is compared with what is known to be true from before the request until after
//! the answer. At the end the host drains and stops, and must answer until only the status server is left.
//!
//! Exit code 1: an answer was false or missing, or a stall was not found.

mod client;
mod service;
mod truth;

use client::{Client, Counts};
use hosted::{Host, OnFailure, Restart, StatusServer};
use service::Faulty;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, thread};
use truth::Truth;

/// How many services have faults. The failures of the last service are ignored.
const SERVICES: usize = 8;
const PATHS: [&str; 3] = ["/livez", "/readyz", "/startupz"];
const PERIOD: Duration = Duration::from_millis(100);
/// Turns a hang into a failure.
const LIMIT: Duration = Duration::from_secs(60);
const DRAIN: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let Some(minutes) = env::args().find_map(|argument| argument.parse::<f64>().ok()) else {
        println!("the soak needs a number of minutes: cargo bench --all-features --bench soak -- 10");
        return ExitCode::SUCCESS;
    };
    let truths: Vec<Arc<Truth>> = (0..SERVICES).map(|n| Arc::new(Truth::new(n, n == SERVICES - 1))).collect();
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut host = Host::new();
    host.drain(DRAIN);
    host.add("status", server);
    for truth in &truths {
        let again = Restart::on_failure().backoff(Duration::ZERO..=PERIOD).give_up_after(u32::MAX);
        let options = host.add(truth.name(), Faulty::new(truth.clone()));
        options.restart(again).stalls_after(service::LIMIT);
        if truth.is_ignored() {
            options.on_failure(OnFailure::Ignore);
        }
    }
    let events = host.events();
    let watched = truths.clone();
    let watcher = thread::spawn(move || {
        for event in &events {
            watched.iter().for_each(|truth| truth.note(&event));
        }
    });
    host.start().expect("the host starts");
    let address = address.get().expect("the server has started");

    let is_stopping = Arc::new(AtomicBool::new(false));
    let clients = PATHS.map(|path| {
        let client = Client::new(path, address, truths.clone(), host.handle(), is_stopping.clone());
        thread::spawn(move || client.probe_until_refused(PERIOD))
    });
    thread::sleep(Duration::from_secs_f64(minutes * 60.0));
    truths.iter().for_each(|truth| truth.calm_down());
    let begin = Instant::now();
    while !truths.iter().all(|truth| truth.is_calm()) {
        thread::sleep(PERIOD);
        if begin.elapsed() > LIMIT {
            println!("FAILED: a service did not come to rest");
            for (truth, service) in truths.iter().zip(host.handle().services().iter().skip(1)) {
                println!("{service:?}, blocked in {:?}; {truth:?}", service.blocked_now());
            }
            return ExitCode::FAILURE;
        }
    }
    is_stopping.store(true, Ordering::SeqCst);
    let begin = Instant::now();
    let stopped = host.stop(Duration::from_secs(30)).is_ok();
    let stop_took = begin.elapsed();
    let counts = clients.map(|client| client.join().expect("a client does not panic"));
    drop(host);
    watcher.join().expect("the watcher does not panic");

    let acts = truths.iter().map(|truth| truth.acts()).fold(truth::Acts::default(), truth::Acts::plus);
    println!("{minutes} minutes, {SERVICES} services: {acts}");
    for (path, counts) in PATHS.iter().zip(&counts) {
        println!("{path}: {counts}");
    }
    println!("drained and stopped in {:.2} s, of which {} s are the drain", stop_took.as_secs_f64(), DRAIN.as_secs());
    let is_good = stopped && acts.stalls_not_found == 0 && counts.iter().all(Counts::is_good);
    println!("{}", if is_good { "every answer was true" } else { "FAILED" });
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
