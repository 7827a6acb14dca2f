//! The memory of a token, a callback and a service: by a counting allocator, and by the resident memory that Linux
//! reports.

mod harness;
#[path = "../tests/support/heap.rs"]
mod heap;

use harness::table::verdict;
use harness::{Bench, fleet};
use hosted::StopSource;
use std::process::Command;
use std::sync::Arc;
use std::{env, fs, thread, time::Duration};

/// Returns the result of `make`, and the bytes and blocks that it allocated.
fn counted<T>(make: impl FnOnce() -> T) -> (T, [i64; 2]) {
    let before = [heap::bytes(), heap::blocks()];
    let made = make();
    let after = [heap::bytes(), heap::blocks()];
    (made, [after[0] - before[0], after[1] - before[1]])
}

const RESIDENT: &str = "--resident";
const SERVICES: usize = 1_000;

fn main() {
    let args: Vec<String> = env::args().collect();
    if let Some(at) = args.iter().position(|arg| arg == RESIDENT) {
        return println!("{}", resident_kib(&args[at + 1]));
    }
    let bench = Bench::from_args();
    tokens(&bench);
    services(&bench);
}

fn tokens(bench: &Bench) {
    let table = bench.table("The memory of tokens", "what | bytes | allocations | target | verdict");
    let row = |what: &str, [bytes, blocks]: [i64; 2], target: &str, met: bool| {
        if bench.wants(what) {
            table.row(&[what.to_owned(), bytes.to_string(), blocks.to_string(), target.to_owned(), verdict(Some(met))]);
        }
    };
    let (parent, source) = counted(StopSource::new);
    row("a source", source, "80 bytes, 1 allocation", source[0] <= 80 && source[1] <= 1);
    let token = parent.token();
    let _room = StopSource::linked([&token]);
    let (_child, child) = counted(|| StopSource::linked([&token]));
    row(
        "a linked source, if its parent has room",
        child,
        "≤ 112 bytes, 1 allocation",
        child[0] <= 112 && child[1] <= 1,
    );

    let captured = Arc::new(());
    let register = |_| {
        let captured = captured.clone();
        token.on_stop(move || drop(captured))
    };
    let mut guards = Vec::with_capacity(1_024);
    let ((), all) = counted(|| guards.extend((0..1_024).map(register)));
    let each = [all[0] / 1_024, (all[1] + 512) / 1_024];
    row("a callback that captures an `Arc`, of 1,024", each, "≤ 48 bytes", each[0] <= 48);

    let ((), left) = counted(|| (0..1_000_000).for_each(|_| drop(StopSource::linked([&token]))));
    row("left by a million linked sources, one after the other", left, "nothing", left == [0, 0]);
    let at_once = || drop((0..1_000_000).map(|_| StopSource::linked([&token])).collect::<Vec<_>>());
    at_once(); // makes the room at the parent
    let ((), left) = counted(at_once);
    row("left by a million linked sources at once", left, "nothing", left == [0, 0]);
}

fn services(bench: &Bench) {
    let title = "The memory of an idle service, of 1,000";
    let table = bench.table(title, "what | bytes on the heap | blocks on the heap | KiB resident");
    for (what, arg) in [("a service", "hosted"), ("a thread", "bare")] {
        if bench.wants(what) {
            let [bytes, blocks] = counted(|| idle(arg)).1.map(|count| format!("{:.1}", count as f64 / SERVICES as f64));
            // Use a new process for each row: the memory of an earlier one would count too.
            let output = Command::new(env::current_exe().unwrap()).args([RESIDENT, arg]).output().unwrap();
            let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
            table.row(&[format!("{what}, idle"), bytes, blocks, format!("{:.1}", kib / SERVICES as f64)]);
        }
    }
}

/// Creates waiting services, for as long as the process lives.
fn idle(what: &str) {
    match what {
        "hosted" => std::mem::forget(fleet::idle(SERVICES)),
        _ => std::mem::forget(fleet::bare(SERVICES)),
    }
    thread::sleep(Duration::from_millis(500)); // until the last one has fallen asleep
}

/// Returns how much more memory is resident with the waiting services.
fn resident_kib(what: &str) -> i64 {
    let now = || {
        let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<i64>().unwrap()
    };
    let before = now();
    idle(what);
    now() - before
}
