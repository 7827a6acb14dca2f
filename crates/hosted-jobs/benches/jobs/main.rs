//! What jobs cost, beside the same statements written by hand, in one run: `cargo bench -p hosted-jobs`.
//!
//! The rounds of a comparison are interleaved, because other programs use the machine too. The disk is simulated: each
//! synchronisation takes 1 ms, and the files are in memory (`/dev/shm`). A real disk varies by a factor of ten within a
//! minute. `cargo bench -p hosted-jobs -- --real` uses the real disk under `target`. `-- NAME` runs only that part.

mod setup;
mod raw;
mod enqueueing;
mod processing;
mod growth;
mod latency;
mod kills;

use setup::Part;

const PARTS: [Part; 6] = [
    ("enqueue", enqueueing::run),
    ("process", processing::run),
    ("growth", growth::run),
    ("latency", latency::run),
    ("kills", kills::run),
    ("memory", growth::memory),
];

fn main() {
    if setup::is_child() {
        return kills::child();
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let real = arguments.iter().any(|argument| argument == "--real");
    if !real && setup::restart_with_simulated_disk() {
        return;
    }
    let wanted: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    setup::print_machine(real);
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| *wanted == name) {
            println!("\n## {name}\n");
            run(real);
        }
    }
    println!("\nload at the end: {}", setup::load());
}
